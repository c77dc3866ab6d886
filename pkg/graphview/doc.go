// Package graphview draws a workflow: as a tree for terminals, as SVG, as
// Mermaid and DOT for other tools, as JSON. A View is the graph with what is
// known about it; the writers turn it into text and never fail on a graph that
// has errors.
package graphview
