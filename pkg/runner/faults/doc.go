// Package faults holds the tests of what the runner promises while things
// break: its jobs against an engine that dies, hangs and lies, against kills of
// its own, and against callers that do the same. Runner and engine are
// processes of their own there, so that they can be killed.
package faults
