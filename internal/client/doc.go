// Package client calls the HTTP API of a runner: discover, upload, submit,
// follow, fetch. It uses the standard library alone and prints nothing.
package client
