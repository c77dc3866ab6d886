package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

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
	var faults []problem.Field
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
			info, err := a.c.Files.Add(part, part.FileName(), 0, owner(r.Context()), true)
			if err == nil {
				err = files.Declared(info, part.Header.Get("Content-Type"))
			}
			if p := fileProblem(err, name); p != nil {
				return nil, p
			} else if err != nil {
				faults = append(faults, fileFault(err, name))
				continue
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
	req.faults = append(req.faults, faults...)
	for _, f := range faults {
		delete(req.Input, strings.TrimPrefix(f.Pointer, "/input/"))
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

// fileProblem is the problem of a file that cannot be taken whatever it is, or
// nil.
func fileProblem(err error, name string) *problem.Problem {
	var tooLarge *http.MaxBytesError
	var fault interface{ FaultCode() string }
	switch {
	case err == nil, errors.As(err, &fault):
		return nil
	case errors.Is(err, files.ErrTooLarge), errors.As(err, &tooLarge):
		p := problem.New("too_large", err.Error())
		if name != "" {
			p.Errors = []problem.Field{{Pointer: pointer(name), Code: "too_large", Message: err.Error()}}
		}
		return p
	}
	return nil
}

// fileFault is a file that the input does not take.
func fileFault(err error, name string) problem.Field {
	code := "bad_file"
	var fault interface{ FaultCode() string }
	if errors.As(err, &fault) {
		code = fault.FaultCode()
	}
	return problem.Field{Pointer: pointer(name), Code: code, Message: "`" + name + "` " + err.Error()}
}

// pointer is the JSON pointer of an input in a request.
func pointer(name string) string {
	return "/input/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
