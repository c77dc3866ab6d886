package comfy

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
)

// maxLine bounds one remembered log line, in bytes.
const maxLine = 4096

// colours matches the escape sequences that ComfyUI writes even to a pipe.
var colours = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// logRing splits the engine's output into lines, remembers the last ones and
// tells watchers. A carriage return ends a line too: progress bars use it. One
// goroutine writes at a time.
type logRing struct {
	mu       sync.Mutex
	raw      io.Writer
	partial  []byte
	lines    []string
	next     int
	full     bool
	watchers map[int]func(string)
	ids      int
}

func newLogRing(lines int, raw io.Writer) *logRing {
	if lines <= 0 {
		lines = 200
	}
	return &logRing{raw: raw, lines: make([]string, lines), watchers: map[int]func(string){}}
}

// Write never fails: a full disk behind raw must not stop the engine.
func (r *logRing) Write(b []byte) (int, error) {
	// Outside the lock: a reader of raw that is slow must not hold up tail.
	if r.raw != nil {
		_, _ = r.raw.Write(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partial = append(r.partial, b...)
	for {
		i := bytes.IndexAny(r.partial, "\r\n")
		if i < 0 && len(r.partial) < maxLine {
			return len(b), nil
		}
		rest := i + 1
		if i < 0 || i > maxLine {
			i, rest = maxLine, maxLine
		}
		r.add(r.partial[:i])
		r.partial = append(r.partial[:0], r.partial[rest:]...)
	}
}

// flush ends an unfinished line; the next process starts on a fresh one.
func (r *logRing) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(r.partial)
	r.partial = r.partial[:0]
}

func (r *logRing) add(b []byte) {
	line := strings.TrimRight(colours.ReplaceAllString(strings.ToValidUTF8(string(b), "\uFFFD"), ""), " \t")
	if line == "" {
		return
	}
	r.lines[r.next] = line
	r.next = (r.next + 1) % len(r.lines)
	r.full = r.full || r.next == 0
	for _, f := range r.watchers {
		f(line)
	}
}

// tail returns the remembered lines, oldest first.
func (r *logRing) tail() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.full {
		return append([]string(nil), r.lines[:r.next]...)
	}
	return append(append([]string(nil), r.lines[r.next:]...), r.lines[:r.next]...)
}

func (r *logRing) watch(f func(string)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.ids
	r.ids++
	r.watchers[id] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, id)
	}
}
