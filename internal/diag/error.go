package diag

// Class says what a pipeline should do next; internal/cli maps it to an exit
// code.
type Class int

// The classes, in the order of the exit codes that they map to.
const (
	ClassFailed  Class = iota // it went wrong while doing it: exit 1
	ClassUsage                // called wrongly: exit 2
	ClassCheck                // a check failed, input refused: exit 3
	ClassAuth                 // not signed in or not allowed: exit 4
	ClassStale                // out of date: exit 5
	ClassTimeout              // the wait ran out, the work goes on: exit 6
)

// Error is an error meant for the user: what happened, what to do, and which
// class of exit it is.
type Error struct {
	// Code is a stable identifier such as disk_full; every code is registered.
	Code string
	// Class decides the exit code.
	Class Class
	// Message is the headline: lower case, no full stop.
	Message string
	// Help is what to do about it; it may have several lines.
	Help string
	// Facts are further lines in the order given, such as {"at", "layer x"}.
	Facts [][2]string
	// Retryable is true where the same call may succeed later.
	Retryable bool
	// Details are machine-readable facts for the JSON envelope.
	Details map[string]any
	// Diagnostics are the findings behind a ClassCheck error, if any.
	Diagnostics []Diagnostic
	// Err is the cause, kept for errors.Is and errors.As.
	Err error
}

// Error returns the headline, followed by the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
