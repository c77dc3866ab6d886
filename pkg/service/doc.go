// Package service reads comfyctl.yaml, the service file: strict decoding into
// Go structs with the position of every key and value, environments merged
// over the file, ${VAR} filled in. It is pure: bytes in, values and findings
// out.
package service
