// Package catalog knows ComfyUI's node classes: names, types, limits, defaults
// and enumerations of their inputs and outputs. It has built-in snapshots of
// some releases and reads any /object_info besides.
//
// To add a release, save the answer of GET /object_info of a ComfyUI with no
// custom nodes and run
//
//	go run ./pkg/catalog/gen --object-info object_info.json --version v0.31.0
//
// which writes data/v0.31.0.txt.gz; it is picked up from there. The generator
// keeps no prose, and no name of a file that lay on the recording machine.
package catalog
