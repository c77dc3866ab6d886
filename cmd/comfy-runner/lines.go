package main

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"sync"
)

// lineLog puts the engine's own output into the log, line by line, without the
// colours that it writes for terminals.
type lineLog struct {
	log *slog.Logger

	mu   sync.Mutex
	rest []byte
}

// longestLine bounds what a line without an end may hold.
const longestLine = 16 << 10

var escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b.|[\x00-\x08\x0b-\x1f\x7f]`)

// Write never fails: a log is no reason to stop the engine.
func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		at := bytes.IndexByte(l.rest, '\n')
		if at < 0 && len(l.rest) < longestLine {
			return len(b), nil
		}
		if at < 0 || at >= longestLine {
			at = longestLine - 1
		}
		line := string(l.rest[:at+1])
		l.rest = l.rest[at+1:]
		// A progress bar writes over itself; its last state counts.
		line = strings.TrimRight(line, "\r\n")
		line = line[strings.LastIndexByte(line, '\r')+1:]
		if line = strings.TrimSpace(escapes.ReplaceAllString(strings.ToValidUTF8(line, "\ufffd"), "")); line != "" {
			l.log.Info(line, "source", "engine")
		}
	}
}
