package cli

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
)

// schemaName names the envelope. Fields may be added under it.
const schemaName = "comfyctl/v1"

// envelope is what -o json writes, once, whatever happened.
type envelope struct {
	Type        string            `json:"type,omitempty"` // "result" as the last line of ndjson
	Schema      string            `json:"schema"`
	Command     string            `json:"command"`
	OK          bool              `json:"ok"`
	Data        any               `json:"data"`
	Diagnostics []diag.Diagnostic `json:"diagnostics"`
	Error       *envelopeError    `json:"error"`
	TookMS      int64             `json:"took_ms"`
	Version     string            `json:"version"`
}

type envelopeError struct {
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Help      string         `json:"help,omitempty"`
	Retryable bool           `json:"retryable"`
	Details   map[string]any `json:"details,omitempty"`
}

// envelope sums the command up.
func (a *App) envelope(err error) envelope {
	e := envelope{Schema: schemaName, Command: a.command, OK: err == nil, Data: a.reply.data,
		Diagnostics: a.reply.diags, TookMS: since(a.began), Version: version}
	if e.Diagnostics == nil {
		e.Diagnostics = []diag.Diagnostic{}
	}
	if err != nil {
		e.Error = &envelopeError{Code: "failed", Message: err.Error()}
		var d *diag.Error
		if errors.As(err, &d) {
			e.Error.Code, e.Error.Message, e.Error.Help = d.Code, d.Error(), d.Help
			e.Error.Retryable, e.Error.Details = d.Retryable, d.Details
		}
	}
	return e
}

func writeLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// finish writes the envelope where one is wanted.
func (a *App) finish(err error) error {
	e := a.envelope(err)
	switch a.flags.Output {
	case formatNDJSON:
		e.Type = "result"
		return writeLine(a.out, e)
	case formatJSON:
		return writeLine(a.out, e)
	}
	return nil
}

// line writes one line of ndjson; other formats drop it.
func (a *App) line(v any) {
	if a.flags.Output == formatNDJSON {
		a.outLock.Lock()
		defer a.outLock.Unlock()
		// A broken pipe shows when the envelope is written.
		_ = writeLine(a.out, v)
	}
}

// eventLine is a progress event as a line of ndjson.
func (a *App) eventLine(e progress.Event) {
	a.line(struct {
		Type string `json:"type"`
		progress.Event
		T time.Time `json:"t"`
	}{"step", e, time.Now().UTC()})
}
