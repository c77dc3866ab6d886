package comfy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// Bounds of one call. The engine's event loop shares the interpreter lock with
// the running node, so even a small answer can take many seconds.
const (
	callTimeout = 60 * time.Second
	// maxAnswer bounds a JSON answer, in bytes.
	maxAnswer = 256 << 20
	// maxErrorBody bounds what is kept of an answer that is not understood.
	maxErrorBody = 4 << 10
)

// client speaks the engine's HTTP protocol at one address.
type client struct {
	base string
	http *http.Client
}

func newClient(base string) *client {
	return &client{
		base: strings.TrimRight(base, "/"),
		http: &http.Client{
			// No proxy: the engine is on this machine or next to it. Redirects
			// are none of its protocol.
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				DisableCompression:  true,
				MaxIdleConnsPerHost: 8,
				IdleConnTimeout:     60 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// statusError is an answer with an unexpected status.
type statusError struct {
	Code int
	Body string
}

func (e *statusError) Error() string {
	if e.Body == "" {
		return fmt.Sprintf("the engine answered %d", e.Code)
	}
	return fmt.Sprintf("the engine answered %d: %s", e.Code, e.Body)
}

// call sends in as JSON, if it is not nil, and returns status and body.
func (c *client) call(ctx context.Context, method, path string, in any) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := encode(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body) //nolint:gosec // the address is the operator's
	if err != nil {
		return 0, nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req) //nolint:gosec // as above
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, b, err
}

// encode writes JSON as it is, without the escapes that are meant for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

// get calls and decodes an answer of status 200.
func (c *client) get(ctx context.Context, path string, into any) error {
	code, b, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return &statusError{code, excerpt(b)}
	}
	return decode(b, into)
}

// post calls and wants status 200.
func (c *client) post(ctx context.Context, path string, in any) error {
	code, b, err := c.call(ctx, http.MethodPost, path, in)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return &statusError{code, excerpt(b)}
	}
	return nil
}

func excerpt(b []byte) string {
	if len(b) > maxErrorBody {
		b = b[:maxErrorBody]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "\uFFFD"))
}

// stats is the part of /system_stats that is used.
type stats struct {
	System struct {
		Version string `json:"comfyui_version"`
	} `json:"system"`
	Devices []struct {
		Name string `json:"name"`
	} `json:"devices"`
}

func (c *client) stats(ctx context.Context) (*stats, error) {
	var s stats
	if err := c.get(ctx, "/system_stats", &s); err != nil {
		return nil, fmt.Errorf("asking the engine how it is: %w", err)
	}
	return &s, nil
}

// history returns a prompt's entry, or nil while there is none.
func (c *client) history(ctx context.Context, id string) (*entry, error) {
	var m map[string]*entry
	if err := c.get(ctx, "/history/"+url.PathEscape(id), &m); err != nil {
		return nil, fmt.Errorf("reading the engine's history: %w", err)
	}
	return m[id], nil
}

// place is where a prompt is in the engine's queue.
type place int

const (
	absent place = iota
	pending
	running
)

// queue returns where a prompt is, and which prompts run.
func (c *client) queue(ctx context.Context, id string) (place, []string, error) {
	var q struct {
		Running [][]json.RawMessage `json:"queue_running"`
		Pending [][]json.RawMessage `json:"queue_pending"`
	}
	if err := c.get(ctx, "/queue", &q); err != nil {
		return absent, nil, fmt.Errorf("reading the engine's queue: %w", err)
	}
	var at place
	for _, item := range q.Pending {
		if promptID(item) == id {
			at = pending
		}
	}
	var now []string
	for _, item := range q.Running {
		if promptID(item) == id {
			at = running
		}
		now = append(now, promptID(item))
	}
	return at, now, nil
}

func promptID(item []json.RawMessage) string {
	var id string
	if len(item) > 1 {
		_ = json.Unmarshal(item[1], &id)
	}
	return id
}

// submission is the body of POST /prompt.
type submission struct {
	Prompt   json.RawMessage   `json:"prompt"`
	PromptID string            `json:"prompt_id"`
	ClientID string            `json:"client_id"`
	Extra    map[string]string `json:"extra_data"`
}

// submit posts a prompt. A refusal is an *engine.RefusedError; partly says that
// the engine runs the valid rest of it all the same.
func (c *client) submit(ctx context.Context, s submission) (partly bool, err error) {
	code, b, err := c.call(ctx, http.MethodPost, "/prompt", s)
	if err != nil {
		return false, err
	}
	var answer struct {
		Error *struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Details string `json:"details"`
		} `json:"error"`
		NodeErrors json.RawMessage `json:"node_errors"`
	}
	parsed := decode(b, &answer)
	nodes := nodeErrors(answer.NodeErrors)
	switch {
	case code == http.StatusOK && parsed == nil && len(nodes) == 0:
		return false, nil
	case code == http.StatusOK && parsed == nil:
		return true, &engine.RefusedError{
			Type:    "prompt_outputs_failed_validation",
			Message: "some outputs failed validation",
			Nodes:   nodes,
		}
	case parsed == nil && answer.Error != nil:
		m := answer.Error.Message
		if answer.Error.Details != "" && answer.Error.Details != m {
			m += ": " + answer.Error.Details
		}
		return false, &engine.RefusedError{Type: answer.Error.Type, Message: m, Nodes: nodes}
	case code == http.StatusRequestEntityTooLarge:
		return false, &engine.RefusedError{Type: "request_too_large", Message: "the prompt is larger than the engine accepts"}
	case code == http.StatusBadRequest || code == http.StatusInternalServerError:
		return false, &engine.RefusedError{Type: "server_error", Message: (&statusError{code, excerpt(b)}).Error()}
	}
	return false, &statusError{code, excerpt(b)}
}

// nodeErrors reads node_errors; an empty list ([]) stands for none too.
func nodeErrors(raw json.RawMessage) map[string]engine.NodeErrors {
	var in map[string]struct {
		ClassType string `json:"class_type"`
		Errors    []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Details string `json:"details"`
			Extra   struct {
				Input string `json:"input_name"`
			} `json:"extra_info"`
		} `json:"errors"`
	}
	if json.Unmarshal(raw, &in) != nil || len(in) == 0 {
		return nil
	}
	out := make(map[string]engine.NodeErrors, len(in))
	for id, n := range in {
		e := engine.NodeErrors{ClassType: n.ClassType}
		for _, x := range n.Errors {
			e.Errors = append(e.Errors, engine.NodeError{Type: x.Type, Message: x.Message, Details: x.Details, Input: x.Extra.Input})
		}
		out[id] = e
	}
	return out
}

// refusedConnection says that nobody listens, so that nothing was accepted.
func refusedConnection(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, new(*net.DNSError))
}
