//go:build !linux

package main

// reap has nothing to do where this is never process 1.
func reap() {}
