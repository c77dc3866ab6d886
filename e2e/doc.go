// Package e2e is the end-to-end test: real ComfyUI on the CPU, packed, deployed
// and called with the built comfyctl. Its tests have the build tag e2e; run.sh
// prepares what they need and starts them.
package e2e
