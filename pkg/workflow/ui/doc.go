// Package ui reads what people save in ComfyUI's editor and turns it into the
// API format that the server runs: the same nodes, inputs and titles as the
// editor's own export gives. Places in the saved file are kept, so that a
// finding about a value points at the value that the person wrote.
//
// The editor's file says little on its own. It lists the values of a node's
// widgets without their names, so that node classes are needed; it holds nodes
// that only the editor knows (reroutes, primitives, notes), nodes that are
// switched off or bypassed, and subgraphs with values of their own for each
// use. Conversion builds the graph as the editor does on loading, then walks
// every input to what feeds it.
package ui
