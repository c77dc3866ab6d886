// Package workflow reads ComfyUI graphs: the API format ("prompt") with the
// byte range of every node, key and value, the envelopes that other tools put
// around it, and the prompt chunk of a PNG. It answers questions about the
// shape of a graph (links, order, ancestors, cycles) and writes it back clean.
//
// It knows nothing of node schemas; package validate does.
package workflow
