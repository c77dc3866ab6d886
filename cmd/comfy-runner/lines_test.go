package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLineLog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey {
			return a
		}
		return slog.Attr{}
	}}))
	w := &lineLog{log: log}
	for _, part := range []string{"\x1b[32m[INFO]\x1b[0m one\n\ntw", "o\r\n 10%\r 50%\r100%\n\x1b]8;;x", "\n" + strings.Repeat("y", longestLine+10) + "\n", "no end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d %v", n, err)
		}
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{`msg="[INFO] one"`, "msg=two", "msg=100%", "msg=8;;x", "msg=" + strings.Repeat("y", longestLine), "msg=" + strings.Repeat("y", 10)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
