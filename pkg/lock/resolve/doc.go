// Package resolve finds the node pack that a class belongs to. It is pure: what
// the service file, the old lock, the graph, the registry and the public map of
// packs say comes in as values, and a choice or a question comes out for each
// class. Popularity never chooses; it only orders the candidates of a question.
package resolve
