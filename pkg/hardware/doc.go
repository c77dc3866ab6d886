// Package hardware knows graphics cards and what a workflow asks of one. It is
// pure: data and arithmetic, no network and no device.
//
// For rules about `gpu:` there are three questions:
//
//   - Which card is meant? Find gives every variant of a name (an A100 has 40
//     or 80 GB), Lookup the smallest, Suggest the name that was likely meant.
//   - Will the torch build run on it? Runs compares a card with a build tag
//     (cu128) and a torch release; BuildFor gives a tag that suits all cards.
//     Native says which number formats a card computes at full speed; the
//     others work but are converted first.
//   - Is it large enough? Of estimates memory and disk for a graph, with every
//     figure's formula; Estimate.Fit judges a card's memory by it.
//
// Sources: compute capabilities from NVIDIA's lists (developer.nvidia.com/cuda-gpus
// and /cuda-legacy-gpus); memory from what the driver reports (nvidia-smi) in
// public logs; which architectures a torch build holds from RELEASE.md and
// .ci/manywheel/build_cuda.sh of pytorch/pytorch at its releases 2.7 to 2.14.
// Estimates are not measured on a card: see Certainty.
package hardware
