package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/files"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// answer writes a job, with the outputs' bytes in it where that was asked for.
func (a *API) answer(w http.ResponseWriter, status int, job *jobs.Job) *problem.Problem {
	if job.Status == jobs.Succeeded && job.Inline {
		if p := a.inline(job); p != nil {
			return p
		}
	}
	writeJSON(w, status, job)
	return nil
}

// maxInline bounds the bytes that come base64 inside a reply.
const maxInline = 4 << 20

func (a *API) inline(job *jobs.Job) *problem.Problem {
	var total int64
	for _, o := range job.Outputs {
		total += o.SizeBytes
	}
	if total > maxInline {
		return problem.New("outputs_too_large", fmt.Sprintf("the outputs have %d bytes; `outputs.mode: data` takes at most %d", total, maxInline)).
			WithHint("the outputs are kept: GET /v1/jobs/" + job.ID + "/outputs/NAME; leave outputs.mode out to get their addresses")
	}
	for i, o := range job.Outputs {
		b, err := a.readOutput(job.ID, o.Name)
		if err != nil {
			return problem.New("gone", "output `"+o.Name+"` is no longer kept")
		}
		job.Outputs[i].Data = base64.StdEncoding.EncodeToString(b)
	}
	return nil
}

func (a *API) readOutput(id, name string) ([]byte, error) {
	path, err := a.c.Outputs.Path(id, name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path) //nolint:gosec // Path checks the name
}

func findOutput(j *jobs.Job, name string) *jobs.Output {
	for i := range j.Outputs {
		if j.Outputs[i].Name == name {
			return &j.Outputs[i]
		}
	}
	return nil
}

// inlineType says which outputs a browser may show; anything else is a
// download, because a page in it could act in the service's name.
func inlineType(ct string) bool {
	for _, p := range []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "video/", "audio/", "text/plain"} {
		if strings.HasPrefix(ct, p) {
			return true
		}
	}
	return false
}

func (a *API) getOutput(w http.ResponseWriter, r *http.Request, j *jobs.Job) *problem.Problem {
	o := findOutput(j, r.PathValue("name"))
	if o == nil {
		return problem.New("not_found", "job `"+j.ID+"` has no output `"+r.PathValue("name")+"`")
	}
	path, err := a.c.Outputs.Path(j.ID, o.Name)
	if err != nil {
		return problem.New("not_found", "job `"+j.ID+"` has no output `"+o.Name+"`")
	}
	f, err := os.Open(path) //nolint:gosec // Path checks the name
	if err != nil {
		return problem.New("gone", "output `"+o.Name+"` is no longer kept")
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", o.ContentType)
	h.Set("ETag", `"`+o.Hash+`"`)
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	disposition := "inline"
	if !inlineType(o.ContentType) {
		disposition = "attachment"
	}
	name := o.Filename
	if name == "" {
		name = o.Name + ".txt"
	}
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": filepath.Base(name)}))
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

// outputFile lets an output of one job be the input of another.
func (a *API) outputFile(ctx context.Context, path string) (*files.Info, error) {
	parts := strings.Split(path, "/") // "", v1, jobs, ID, outputs, NAME
	if len(parts) != 6 || parts[4] != "outputs" {
		return nil, errors.New("is not the path of an output: /v1/jobs/ID/outputs/NAME")
	}
	j, p := a.job(ctx, parts[3])
	if p != nil {
		return nil, errors.New("names an output of a job that is not here")
	}
	o := findOutput(j, parts[5])
	if o == nil {
		return nil, errors.New("names an output that job " + j.ID + " does not have")
	}
	file, err := a.c.Outputs.Path(j.ID, o.Name)
	if err != nil {
		return nil, errors.New("names an output that is no longer kept")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.New("names an output that is no longer kept")
	}
	defer f.Close()
	name := o.Filename
	if name == "" {
		name = o.Name + ".txt"
	}
	return a.c.Files.Add(f, name, 0, owner(ctx), true)
}
