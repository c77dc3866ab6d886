// Package validate checks a service before anything is built: it reads the
// service file and its workflows, applies every rule that needs no network, and
// resolves what is left to be inferred into a Plan, from which the contract of
// an image follows.
//
// Its verdicts on a graph are ComfyUI's own, foreseen: each finding names the
// node, the input and the error type with which ComfyUI would refuse it.
package validate
