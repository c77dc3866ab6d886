package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// request is the body of POST …/jobs.
type request struct {
	Input    map[string]json.RawMessage
	Metadata json.RawMessage
	Mode     string // url or data
	Priority int
	// MaxWait and Timeout are in milliseconds; 0 means the service's own.
	MaxWait, Timeout int64
	Webhook          *jobs.Webhook

	hash   string
	faults []problem.Field
}

// defaults of the limits, where the contract leaves them out.
const (
	defaultBody  = 1 << 20
	defaultDepth = 64
)

// bodyLimit bounds the bytes of a JSON body.
func (a *API) bodyLimit() int64 {
	if n := a.state.Load().contract.Runner.Limits.Body; n > 0 {
		return n
	}
	return defaultBody
}

func (a *API) depthLimit() int {
	if n := a.state.Load().contract.Runner.Limits.JSONDepth; n > 0 {
		return n
	}
	return defaultDepth
}

// read takes a JSON body, or multipart whose part `request` is that JSON and
// whose other parts are files by input name.
func (a *API) read(w http.ResponseWriter, r *http.Request) (*request, *problem.Problem) {
	ct, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, problem.New("unsupported_type", "the Content-Type cannot be read")
	}
	limit := a.bodyLimit()
	switch ct {
	case "multipart/form-data":
		return a.readMultipart(w, r, params["boundary"], limit)
	case "application/json", "":
		if r.ContentLength > limit {
			return nil, tooLarge(limit)
		}
		body, p := readBody(http.MaxBytesReader(w, r.Body, limit), limit)
		if p != nil {
			return nil, p
		}
		return a.decode(body)
	}
	return nil, problem.New("unsupported_type", "the body is "+ct).WithHint("send application/json or multipart/form-data")
}

func readBody(r io.Reader, limit int64) ([]byte, *problem.Problem) {
	body, err := io.ReadAll(r)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, problem.New("too_slow", "the body did not come in time")
	case err != nil:
		return nil, problem.New("bad_request", "reading the body: "+err.Error())
	}
	return body, nil
}

func tooLarge(limit int64) *problem.Problem {
	return problem.New("too_large", fmt.Sprintf("the body is larger than %d bytes", limit)).WithHint("send files with POST /v1/files, or as multipart")
}

func checkDepth(body []byte, limit int) *problem.Problem {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return problem.New("bad_request", fmt.Sprintf("the JSON is nested deeper than %d levels", limit))
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// prefer reads the Prefer header: how long to wait for the job. Without one, a
// request waits 60 s.
func prefer(r *http.Request) (wait time.Duration) {
	wait = time.Minute
	for _, h := range r.Header.Values("Prefer") {
		for _, p := range strings.FieldsFunc(h, func(c rune) bool { return c == ',' || c == ';' }) {
			p = strings.TrimSpace(strings.ToLower(p))
			if p == "respond-async" {
				wait = 0
			}
			if v, ok := strings.CutPrefix(p, "wait="); ok {
				if n, err := strconv.Atoi(v); err == nil && n >= 0 {
					return time.Duration(min(n, 600)) * time.Second
				}
			}
		}
	}
	return wait
}
