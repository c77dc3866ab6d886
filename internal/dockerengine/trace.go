package dockerengine

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of BuildKit's StatusResponse, which the Engine sends in the
// answer to a build. Only these few are read, so the module that defines the
// messages, with its hundred dependencies, is not linked.
const (
	fieldVertexes = 1
	fieldLogs     = 3

	vertexDigest    = 1
	vertexName      = 3
	vertexCached    = 4
	vertexStarted   = 5
	vertexCompleted = 6
	vertexError     = 7

	logVertex = 1
	logMsg    = 4
)

// trace follows the steps of one build.
type trace struct {
	onStep func(name string, cached, done bool)
	onLog  func(line string)
	steps  map[string]*step
	bad    *step
}

type step struct {
	name           string
	started, ended bool
	cached         bool
	partial        string
	log            []string
	failed         bool
}

// keptLines is how much of a step's output an error can show.
const keptLines = 40

func newTrace(onStep func(string, bool, bool), onLog func(string)) *trace {
	return &trace{onStep: onStep, onLog: onLog, steps: map[string]*step{}}
}

// feed takes one message. What it cannot read it leaves alone: the trace is
// for people, the result of a build does not depend on it.
func (t *trace) feed(b []byte) {
	fields(b, func(num protowire.Number, v []byte, _ uint64) {
		switch num {
		case fieldVertexes:
			t.vertex(v)
		case fieldLogs:
			t.log(v)
		}
	})
}

func (t *trace) vertex(b []byte) {
	var digest, name, fail string
	var cached, started, completed bool
	fields(b, func(num protowire.Number, v []byte, n uint64) {
		switch num {
		case vertexDigest:
			digest = string(v)
		case vertexName:
			name = string(v)
		case vertexCached:
			cached = n != 0
		case vertexStarted:
			started = true
		case vertexCompleted:
			completed = true
		case vertexError:
			fail = string(v)
		}
	})
	s := t.step(digest)
	if name != "" {
		s.name = name
	}
	s.cached = s.cached || cached
	if started && !s.started {
		s.started = true
		t.tell(s, false)
	}
	if completed && !s.ended {
		s.ended = true
		t.tell(s, true)
	}
	if fail != "" && !strings.Contains(fail, "context canceled") {
		s.failed = true
		t.bad = s
	}
}

func (t *trace) tell(s *step, done bool) {
	if t.onStep != nil && !strings.HasPrefix(s.name, "[internal]") {
		t.onStep(s.name, s.cached, done)
	}
}

func (t *trace) log(b []byte) {
	var digest string
	var msg []byte
	fields(b, func(num protowire.Number, v []byte, _ uint64) {
		switch num {
		case logVertex:
			digest = string(v)
		case logMsg:
			msg = v
		}
	})
	s := t.step(digest)
	lines := strings.Split(s.partial+string(msg), "\n")
	s.partial = lines[len(lines)-1]
	for _, l := range lines[:len(lines)-1] {
		l = strings.TrimRight(l, "\r")
		if i := strings.LastIndexByte(l, '\r'); i >= 0 { // a progress bar drawn over itself
			l = l[i+1:]
		}
		s.log = append(s.log, l)
		if len(s.log) > keptLines {
			s.log = s.log[1:]
		}
		if t.onLog != nil {
			t.onLog(l)
		}
	}
}

func (t *trace) step(digest string) *step {
	s, ok := t.steps[digest]
	if !ok {
		s = &step{}
		t.steps[digest] = s
	}
	return s
}

// failed is the step that went wrong, if one did, and its last lines.
func (t *trace) failed() (string, []string) {
	if t.bad == nil {
		return "", nil
	}
	log := t.bad.log
	if t.bad.partial != "" {
		log = append(log, t.bad.partial)
	}
	return t.bad.name, log
}

// fields walks the fields of a protobuf message; it stops at what is not one.
func fields(b []byte, each func(num protowire.Number, v []byte, n uint64)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return
			}
			each(num, v, 0)
			b = b[n:]
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return
			}
			each(num, nil, v)
			b = b[n:]
		default:
			n := protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return
			}
			b = b[n:]
		}
	}
}
