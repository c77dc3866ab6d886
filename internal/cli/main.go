package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker.
var version = "dev"

// Main runs comfyctl and returns its exit code. Everything it knows comes from
// its arguments and the working directory, so tests run it in-process. The
// first SIGINT or SIGTERM ends the context, a second one ends Main.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := newApp(stdin, stdout, stderr, env)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan int, 1)
	go func() { done <- a.execute(ctx, args) }()
	for stops := 0; ; {
		select {
		case code := <-done:
			return code
		case s := <-signals:
			if stops++; stops > 1 {
				return signalError{s}.code()
			}
			cancel(signalError{s})
		}
	}
}

// signalError is why a context ended: somebody stopped comfyctl.
type signalError struct{ sig os.Signal }

// Error names the signal.
func (e signalError) Error() string { return "stopped by " + e.sig.String() }

func (e signalError) code() int {
	if e.sig == syscall.SIGTERM {
		return codeTerminated
	}
	return codeInterrupted
}

// since is the time a command took, in whole milliseconds.
func since(t time.Time) int64 { return time.Since(t).Milliseconds() }
