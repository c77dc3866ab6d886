package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

func (a *API) uploadFile(w http.ResponseWriter, r *http.Request) {
	if limit := a.c.Files.Limits.Size; limit > 0 {
		r.Body = http.MaxBytesReader(w, r.Body, limit+1<<20)
	}
	mr, err := r.MultipartReader()
	if err != nil {
		a.fail(w, r, problem.New("unsupported_type", "files are sent as multipart/form-data"))
		return
	}
	for {
		part, err := mr.NextPart()
		if errors.Is(err, io.EOF) {
			a.fail(w, r, problem.New("bad_request", "the form holds no file").WithHint(`curl -F file=@picture.png …/v1/files`))
			return
		} else if err != nil {
			a.fail(w, r, multipartProblem(err))
			return
		}
		if part.FileName() == "" {
			continue
		}
		info, err := a.c.Files.Add(part, part.FileName(), 0, owner(r.Context()), false)
		if err == nil {
			if err = files.Declared(info, part.Header.Get("Content-Type")); err != nil {
				_ = a.c.Files.Delete(info.ID, owner(r.Context()))
			}
		}
		if p := fileProblem(err, ""); p != nil {
			a.fail(w, r, p)
			return
		} else if err != nil {
			p := problem.New("validation_failed", "the file "+err.Error())
			p.Errors = []problem.Field{{Code: "bad_file", Message: p.Message}}
			a.fail(w, r, p)
			return
		}
		writeJSON(w, http.StatusCreated, info)
		return
	}
}

func (a *API) fileFromURL(w http.ResponseWriter, r *http.Request) {
	var req struct {
		URL string `json:"url"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&req); err != nil || req.URL == "" {
		a.fail(w, r, problem.New("bad_request", `the body is {"url": "https://…"}`))
		return
	}
	info, err := a.c.Fetcher.Fetch(r.Context(), a.c.Files, req.URL, 0, owner(r.Context()))
	if err != nil {
		p := problem.New("validation_failed", err.Error())
		p.Errors = []problem.Field{{Pointer: "/url", Code: "bad_file", Message: err.Error()}}
		a.fail(w, r, p)
		return
	}
	writeJSON(w, http.StatusCreated, info)
}

func (a *API) fileByHash(w http.ResponseWriter, r *http.Request) {
	if _, err := a.c.Files.Get("sha256:"+r.PathValue("hash"), owner(r.Context())); err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (a *API) getFile(w http.ResponseWriter, r *http.Request) {
	info, err := a.c.Files.Get(r.PathValue("id"), owner(r.Context()))
	if err != nil {
		a.fail(w, r, fileMissing(r, err))
		return
	}
	writeJSON(w, http.StatusOK, info)
}

func (a *API) deleteFile(w http.ResponseWriter, r *http.Request) {
	if err := a.c.Files.Delete(r.PathValue("id"), owner(r.Context())); err != nil {
		a.fail(w, r, fileMissing(r, err))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func fileMissing(r *http.Request, err error) *problem.Problem {
	if errors.Is(err, files.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return problem.New("not_found", "there is no file `"+r.PathValue("id")+"`")
	}
	return problem.New("internal", err.Error())
}
