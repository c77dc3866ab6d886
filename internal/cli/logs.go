package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// LogsOptions of `comfyctl logs`.
type LogsOptions struct {
	Target, Job, Release string
	Follow               bool
	Lines                int
	Since                time.Duration
}

func newLogsCmd(a *App, f runFunc[LogsOptions]) *cobra.Command {
	o := &LogsOptions{}
	cmd := &cobra.Command{
		Use:               "logs [TARGET]",
		Short:             "Follow the logs of runner and engine",
		Example:           "comfyctl logs --follow\ncomfyctl logs local -n 20 --job job_01HX",
		GroupID:           groupShip,
		Args:              atMostOne,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target = first(args)
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&a.flags.File, "file", "", "service `FILE`; -f is --follow here")
	fl.BoolVarP(&o.Follow, "follow", "f", false, "go on as lines come")
	fl.IntVarP(&o.Lines, "lines", "n", 100, "how many lines to start with; -1 is all (`N`)")
	fl.DurationVar(&o.Since, "since", 0, "only lines of the last `TIME`, such as 10m")
	fl.StringVar(&o.Release, "release", "", "the release `vN`, such as one kept after it failed")
	fl.StringVar(&o.Job, "job", "", "only lines of the job `ID`")
	return cmd
}

func runLogs(ctx context.Context, a *App, o *LogsOptions) error {
	s, err := a.serviceOnly()
	if err != nil {
		return err
	}
	p, err := a.place(ctx, s, o.Target)
	if err != nil {
		return err
	}
	w := &logWriter{app: a, job: o.Job}
	err = p.Logs(ctx, deploy.LogOptions{Follow: o.Follow, Tail: o.Lines, Since: o.Since, Release: o.Release}, w)
	w.flush()
	err = errors.Join(err, p.close())
	if o.Follow && ctx.Err() != nil {
		// Whoever follows a log ends it that way.
		err = nil
	}
	return err
}

// logWriter prints whole lines, harmless on a terminal.
type logWriter struct {
	app  *App
	job  string
	rest []byte
	// story sends the lines to stderr: stdout holds something else.
	story bool
}

// Write implements io.Writer.
func (w *logWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			break
		}
		w.line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
	if len(w.rest) > bufio.MaxScanTokenSize {
		w.flush()
	}
	return len(b), nil
}

func (w *logWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}

func (w *logWriter) line(text string) {
	text = strings.TrimRight(text, "\r")
	if w.job != "" && !strings.Contains(text, w.job) {
		return
	}
	record := map[string]any{"type": "log"}
	if json.Unmarshal([]byte(text), &record) == nil {
		text = spoken(record, text)
	} else {
		record["message"] = text
	}
	record["type"] = "log"
	w.app.line(record)
	if w.app.flags.Output == formatJSON {
		w.app.logRecords = append(w.app.logRecords, record)
		w.app.reply.data = w.app.logRecords
		return
	}
	if w.story {
		w.app.console().Say("%s", diag.Safe(text))
		return
	}
	if w.app.console().Out.TTY {
		text = diag.Safe(text)
	}
	// A broken pipe ends the command by its own signal.
	_ = w.app.print(text)
}

// spoken is a structured record in words: time, source, level, message, facts.
func spoken(record map[string]any, raw string) string {
	msg, ok := record["msg"].(string)
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(record["time"]))
	if !ok || err != nil {
		return raw
	}
	source, _ := record["source"].(string)
	if source == "" {
		source = "runner"
	}
	text := at.UTC().Format("15:04:05") + "  " + fmt.Sprintf("%-6s", source) + "  "
	if level, _ := record["level"].(string); level != "INFO" && level != "" {
		text += level + "  "
	}
	text += msg
	for _, key := range slices.Sorted(maps.Keys(record)) {
		switch key {
		case "msg", "time", "source", "level", "type":
		default:
			text += fmt.Sprintf("  %s=%v", key, record[key])
		}
	}
	return text
}
