package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// request is the body of POST …/jobs.
type request struct {
	Input   map[string]json.RawMessage `json:"input"`
	Outputs struct {
		Mode string `json:"mode"`
	} `json:"outputs"`
	Queue struct {
		Priority int     `json:"priority"`
		MaxWaitS float64 `json:"max_wait_s"`
		TimeoutS float64 `json:"timeout_s"`
	} `json:"queue"`
	Metadata json.RawMessage `json:"metadata"`
	Webhook  json.RawMessage `json:"webhook"`
	hash     string
}

// defaults of the limits, where the contract leaves them out.
const (
	defaultBody  = 1 << 20
	defaultDepth = 64
)

// read takes a JSON body, or multipart whose part `request` is that JSON and
// whose other parts are files by input name.
func (a *API) read(w http.ResponseWriter, r *http.Request) (*request, *problem.Problem) {
	s := a.state.Load()
	ct, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, problem.New("unsupported_type", "the Content-Type cannot be read")
	}
	limit := s.contract.Runner.Limits.Body
	if limit <= 0 {
		limit = defaultBody
	}
	switch ct {
	case "multipart/form-data":
		return a.readMultipart(w, r, params["boundary"], limit)
	case "application/json", "":
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
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, problem.New("too_large", fmt.Sprintf("the body is larger than %d bytes", limit)).WithHint("send files with POST /v1/files, or as multipart")
	} else if err != nil {
		return nil, problem.New("bad_request", "reading the body: "+err.Error())
	}
	return body, nil
}

// decode reads the JSON strictly: unknown fields are named, and depth is bound
// before anything is built from it.
func (a *API) decode(body []byte) (*request, *problem.Problem) {
	depth := a.state.Load().contract.Runner.Limits.JSONDepth
	if depth <= 0 {
		depth = defaultDepth
	}
	if p := checkDepth(body, depth); p != nil {
		return nil, p
	}
	var req request
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if len(bytes.TrimSpace(body)) > 0 {
		if err := dec.Decode(&req); err != nil {
			return nil, badJSON(err)
		}
		if dec.More() {
			return nil, problem.New("bad_request", "the body holds more than one JSON document")
		}
	}
	sum := sha256.Sum256(body)
	req.hash = hex.EncodeToString(sum[:])
	if req.Webhook != nil {
		return nil, problem.New("bad_request", "`webhook` is not served by this runner").WithHint("follow the job with GET /v1/jobs/{id}?wait= or /events")
	}
	if m := req.Outputs.Mode; m != "" && m != "url" && m != "data" {
		p := problem.New("validation_failed", "the request does not fit")
		p.Errors = []problem.Field{{Pointer: "/outputs/mode", Code: "not_in_list", Message: "`outputs.mode` is `" + m + "`", Allowed: []string{"url", "data"}}}
		return nil, p
	}
	if req.Metadata != nil {
		var meta map[string]string
		if json.Unmarshal(req.Metadata, &meta) != nil || len(req.Metadata) > 16<<10 {
			p := problem.New("validation_failed", "the request does not fit")
			p.Errors = []problem.Field{{Pointer: "/metadata", Code: "wrong_type", Message: "`metadata` maps names to text, 16 KiB at most"}}
			return nil, p
		}
	}
	return &req, nil
}

func badJSON(err error) *problem.Problem {
	var syn *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syn):
		return problem.New("bad_request", fmt.Sprintf("the body is not JSON: %v at byte %d", syn, syn.Offset))
	case errors.As(err, &typ):
		p := problem.New("validation_failed", "the request does not fit")
		p.Errors = []problem.Field{{Pointer: "/" + strings.ReplaceAll(typ.Field, ".", "/"), Code: "wrong_type", Message: "`" + typ.Field + "` is " + typ.Value}}
		return p
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return problem.New("bad_request", "the body is not JSON: it ends too early")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		p := problem.New("validation_failed", "the request does not fit")
		p.Errors = []problem.Field{{Pointer: "/" + name, Code: "unknown_field", Message: "the request has no field `" + name + "`", Allowed: []string{"input", "outputs", "queue", "metadata"}}}
		return p
	}
	return problem.New("bad_request", "the body cannot be read: "+err.Error())
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
				return problem.New("bad_request", fmt.Sprintf("the JSON is nested deeper than %d", limit))
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// readMultipart streams the parts: files go to the store as they come.
func (a *API) readMultipart(w http.ResponseWriter, r *http.Request, boundary string, limit int64) (*request, *problem.Problem) {
	if boundary == "" {
		return nil, problem.New("bad_request", "the multipart body names no boundary")
	}
	fileLimit := a.c.Files.Limits.Size
	if fileLimit > 0 {
		r.Body = http.MaxBytesReader(w, r.Body, limit+8*fileLimit)
	}
	mr, err := r.MultipartReader()
	if err != nil {
		return nil, problem.New("bad_request", "the multipart body cannot be read: "+err.Error())
	}
	req := &request{}
	uploads := map[string]string{}
	texts := map[string]json.RawMessage{}
	sum := sha256.New()
	for {
		part, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, multipartProblem(err)
		}
		name := part.FormName()
		switch {
		case name == "request":
			body, p := readBody(http.MaxBytesReader(w, part, limit), limit)
			if p != nil {
				return nil, p
			}
			if req, p = a.decode(body); p != nil {
				return nil, p
			}
			fmt.Fprintf(sum, "request:%s;", req.hash)
		case part.FileName() == "":
			body, p := readBody(http.MaxBytesReader(w, part, limit), limit)
			if p != nil {
				return nil, p
			}
			texts[name] = a.formValue(r.PathValue("name"), name, string(body))
			fmt.Fprintf(sum, "%q=%q;", name, body)
		default:
			info, err := a.c.Files.Add(part, part.FileName(), 0)
			if err != nil {
				return nil, fileProblem(err, "/input/"+name)
			}
			uploads[name] = info.ID
			fmt.Fprintf(sum, "%q=%s;", name, info.Hash)
		}
	}
	if req.Input == nil {
		req.Input = map[string]json.RawMessage{}
	}
	for name, v := range texts {
		req.Input[name] = v
	}
	for name, id := range uploads {
		req.Input[name], _ = json.Marshal(id)
	}
	req.hash = hex.EncodeToString(sum.Sum(nil))
	return req, nil
}

// formValue turns a form's text into JSON: numbers and booleans where the
// input wants them.
func (a *API) formValue(workflow, name, text string) json.RawMessage {
	quoted, _ := json.Marshal(text)
	wf, p := a.state.Load().workflow(workflow)
	if p != nil {
		return quoted
	}
	for _, in := range wf.Inputs {
		if in.Name != name {
			continue
		}
		switch in.Type {
		case contract.TypeInt, contract.TypeFloat, contract.TypeBool, contract.TypeEnum:
			var v any
			if json.Unmarshal([]byte(text), &v) == nil {
				if _, isText := v.(string); !isText {
					return json.RawMessage(text)
				}
			}
		}
	}
	return quoted
}

func multipartProblem(err error) *problem.Problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.New("too_large", "the request is larger than allowed")
	}
	return problem.New("bad_request", "the multipart body cannot be read: "+err.Error())
}

func fileProblem(err error, pointer string) *problem.Problem {
	var tooLarge *http.MaxBytesError
	if errors.Is(err, files.ErrTooLarge) || errors.As(err, &tooLarge) {
		p := problem.New("too_large", err.Error())
		p.Errors = []problem.Field{{Pointer: pointer, Code: "too_large", Message: err.Error()}}
		return p
	}
	return problem.New("bad_request", "the file cannot be taken: "+err.Error())
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
