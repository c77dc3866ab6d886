// Package pack makes OCI images: a recipe becomes a plan of layers, the plan
// an image, and a publisher takes the image somewhere. The environment in
// which ComfyUI runs is built by Docker Engine where code must run for it;
// everything else is appended natively, each byte read once, so that models
// never pass through a build context or a compressor.
package pack
