// Package term draws comfyctl's words on terminals, pipes and CI logs: colours
// and symbols decided per stream, a live region that redraws in place on a
// terminal and appends lines anywhere else, and questions that are only asked
// where somebody can answer.
package term
