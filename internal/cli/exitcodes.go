package cli

import (
	"context"
	"errors"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// The exit codes, all of them.
const (
	codeOK          = 0
	codeFailed      = 1
	codeUsage       = 2
	codeCheck       = 3
	codeAuth        = 4
	codeStale       = 5
	codeTimeout     = 6
	codeInterrupted = 130
	codeTerminated  = 143
)

// exitCodes is what `help exit-codes` prints.
var exitCodes = []struct {
	Code    int    `json:"code"`
	Meaning string `json:"meaning"`
	Advice  string `json:"advice"`
}{
	{codeOK, "done; warnings may have been printed", "go on"},
	{codeFailed, "it went wrong while doing it (network, engine, provider)", "maybe retry"},
	{codeUsage, "called wrongly: bad flag or argument, no service file, a prompt needed but not allowed", "fix the call"},
	{codeCheck, "a check failed: validation errors, failed tests, input refused", "fix the files"},
	{codeAuth, "not signed in, or not allowed", "fix credentials"},
	{codeStale, "out of date: something would change, or has changed since", "look, then run again"},
	{codeTimeout, "timed out waiting; what was started is still there (it says so)", "look at status"},
	{codeInterrupted, "stopped by Ctrl-C (0 after a clean stop of run and of logs -f)", "nothing"},
	{codeTerminated, "stopped by SIGTERM (0 after a clean stop of run and of logs -f)", "nothing"},
}

var classCodes = map[diag.Class]int{
	diag.ClassFailed:  codeFailed,
	diag.ClassUsage:   codeUsage,
	diag.ClassCheck:   codeCheck,
	diag.ClassAuth:    codeAuth,
	diag.ClassStale:   codeStale,
	diag.ClassTimeout: codeTimeout,
}

// exitCode maps an error to its code. A signal wins over what it caused.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return codeOK
	}
	var stopped signalError
	if errors.As(context.Cause(ctx), &stopped) {
		return stopped.code()
	}
	var e *diag.Error
	if errors.As(err, &e) {
		return classCodes[e.Class]
	}
	return codeFailed
}

// usageError is a wrong call.
func usageError(code, message, help string) *diag.Error {
	return &diag.Error{Code: code, Class: diag.ClassUsage, Message: message, Help: help}
}

// failure is something that went wrong while doing it.
func failure(code, message, help string, err error) *diag.Error {
	return &diag.Error{Code: code, Class: diag.ClassFailed, Message: message, Help: help, Err: err}
}

// checkError is a check that failed.
func checkError(code, message string, list []diag.Diagnostic) *diag.Error {
	return &diag.Error{Code: code, Class: diag.ClassCheck, Message: message, Diagnostics: list}
}
