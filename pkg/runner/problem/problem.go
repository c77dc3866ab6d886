// Package problem is how the runner says no: RFC 9457 documents with stable
// codes. Every code is listed here and served at /docs/errors/CODE.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Problem is the body of every error answer, and the error of a failed job.
type Problem struct {
	// Type is /docs/errors/CODE, relative: no domain is assumed.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status,omitempty"`
	// Code is stable; Message is for people.
	Code      string  `json:"code"`
	Message   string  `json:"message"`
	Hint      string  `json:"hint,omitempty"`
	Errors    []Field `json:"errors,omitempty"`
	Node      *Node   `json:"node,omitempty"`
	Exception string  `json:"exception,omitempty"`
	Retryable bool    `json:"retryable"`
	RequestID string  `json:"request_id,omitempty"`
	// RetryAfter becomes the header of that name.
	RetryAfter time.Duration `json:"-"`
	// Traceback is filled in for the admin scope only.
	Traceback []string `json:"traceback,omitempty"`
}

// Field is one problem of a request. Pointer is RFC 6901, into the body.
type Field struct {
	Pointer    string `json:"pointer"`
	Code       string `json:"code"`
	Message    string `json:"message"`
	Allowed    any    `json:"allowed,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`
}

// Node names the node that a run failed in.
type Node struct {
	ID        string `json:"id"`
	Title     string `json:"title,omitempty"`
	ClassType string `json:"class_type"`
}

// Kind is a registered code: its HTTP status and title, and whether the same
// request may succeed later.
type Kind struct {
	Status    int
	Title     string
	Retryable bool
}

// Kinds are all codes. They are append-only.
var Kinds = map[string]Kind{
	"validation_failed":    {422, "The request does not fit the workflow's inputs", false},
	"bad_request":          {400, "The request cannot be read", false},
	"unauthorized":         {401, "An API key is needed", false},
	"forbidden":            {403, "Not allowed", false},
	"not_found":            {404, "There is no such thing", false},
	"method_not_allowed":   {405, "The path takes another method", false},
	"idempotency_conflict": {409, "The idempotency key was used with another body", false},
	"conflict":             {409, "The state of the job does not allow this", false},
	"gone":                 {410, "The data is no longer kept", false},
	"too_slow":             {408, "The request did not come in time", true},
	"too_large":            {413, "The request or file is too large", false},
	"unsupported_type":     {415, "The content type is not supported", false},
	"outputs_too_large":    {422, "The outputs are too large to be sent inline", false},
	"internal":             {500, "The runner failed", true},
	"queue_full":           {503, "The queue is full", true},
	"not_ready":            {503, "The engine is not ready", true},
	"insufficient_storage": {507, "The disk is nearly full", true},
	"draining":             {503, "The runner is shutting down", true},
	"workflow_invalid":     {500, "The workflow's graph is broken", false},
	"input_missing":        {409, "An input file is gone", false},
	"node_failed":          {500, "A node of the workflow failed", false},
	"out_of_memory":        {500, "The engine ran out of memory", false},
	"engine_refused":       {500, "The engine refused the workflow", false},
	"engine_lost":          {500, "The engine stopped while the job ran", true},
	"engine_stalled":       {500, "The engine made no progress", true},
	"interrupted":          {500, "The job was interrupted at the engine", true},
	"timeout":              {500, "The job ran longer than allowed", true},
	"expired":              {500, "The job waited longer than allowed", true},
	"no_output":            {500, "The workflow ended without an output", false},
	"output_unreadable":    {500, "An output could not be read from the engine", true},
}

// New makes a problem of a registered code.
func New(code, message string) *Problem {
	k, ok := Kinds[code]
	if !ok {
		code, k = "internal", Kinds["internal"]
	}
	return &Problem{Type: "/docs/errors/" + code, Title: k.Title, Status: k.Status, Code: code, Message: message, Retryable: k.Retryable}
}

// WithHint adds what to do about it.
func (p *Problem) WithHint(hint string) *Problem { p.Hint = hint; return p }

// After asks callers to wait before they try again.
func (p *Problem) After(d time.Duration) *Problem { p.RetryAfter = d; return p }

// Error says the message.
func (p *Problem) Error() string { return p.Code + ": " + p.Message }

// Write sends the problem as application/problem+json.
func (p *Problem) Write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// Who asked may have gone; there is nobody left to tell.
	_ = enc.Encode(p)
}
