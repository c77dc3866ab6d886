package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/diag"
)

// testOne runs one case. An error means that testing itself went wrong.
func (a *App) testOne(ctx context.Context, o *TestOptions, p *project, c *client.Client, w *client.Workflow, tc testCase) (verdict, error) {
	at := p.Service.At(fmt.Sprintf("/tests/%d", tc.Index))
	v := verdict{Name: tc.Name, File: at.File, Line: at.Start.Line, Failures: []string{}, Files: []string{}}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	began := time.Now()
	in, err := a.uploads(ctx, p, c, w, tc.Input)
	var job *client.Job
	if err == nil {
		job, err = c.Submit(ctx, w.Name, client.Request{Input: in})
	}
	if err == nil {
		v.Job = job.ID
		job, err = c.Follow(ctx, job.ID, func(client.Event) error { return nil })
	}
	millis := time.Since(began).Milliseconds()
	v.Seconds = float64(millis) / 1000
	var bad []complaint
	var outputs map[string][]byte
	var refusal *client.Problem
	switch {
	case errors.As(err, &refusal) && refusal.Status < 500:
		bad = checkRefusal(tc.Test.Expect, refusal)
		v.Text = fmt.Sprintf("%d as expected", refusal.Status)
	case err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return v, ctx.Err()
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		bad = []complaint{{"/expect", fmt.Sprintf("has not ended within %s", o.Timeout)}}
	case err != nil:
		return v, a.remote(ctx, c, err)
	default:
		bad = checkJob(tc.Test.Expect, job, millis)
		v.Text = summary(job)
		if len(bad) == 0 && job.Status == client.Succeeded {
			var more []complaint
			if more, outputs, err = a.checkOutputs(ctx, o, p, c, tc, job); err != nil {
				return v, err
			}
			bad = append(bad, more...)
		}
	}
	v.Outcome = passed
	if len(bad) > 0 {
		v.Outcome = failed
		a.blame(p, tc, bad, &v)
		return v, a.keep(p, tc, in, job, outputs, &v)
	}
	return v, nil
}

// blame words what was not met and points at the line that asks for it.
func (a *App) blame(p *project, tc testCase, bad []complaint, v *verdict) {
	for i, b := range bad {
		at := p.Service.At(fmt.Sprintf("/tests/%d%s", tc.Index, b.Pointer))
		if i == 0 && at.Start.Line > 0 {
			v.File, v.Line = at.File, at.Start.Line
		}
		v.Failures = append(v.Failures, fmt.Sprintf("%s (%s:%d:%d)", diag.Safe(b.Text), at.File, at.Start.Line, at.Start.Column))
	}
}

// checkOutputs compares the outputs that the case names.
func (a *App) checkOutputs(ctx context.Context, o *TestOptions, p *project, c *client.Client, tc testCase, job *client.Job) ([]complaint, map[string][]byte, error) {
	var bad []complaint
	kept := map[string][]byte{}
	for _, want := range tc.Test.Expect.Outputs {
		check := outputCheck{want: want, update: o.Update}
		for _, got := range job.Outputs {
			if sameOutput(got.Name, want.Name) {
				check.got = append(check.got, got)
			}
		}
		if len(check.got) > 0 {
			b, err := fetch(ctx, c, job, check.got[0])
			if err != nil {
				return nil, nil, a.remote(ctx, c, err)
			}
			check.first = b
			kept[fileName(want.Name)+extension(check.got[0])] = b
		}
		if want.Like != "" {
			check.golden = filepath.Join(p.Dir, filepath.FromSlash(want.Like))
		}
		more, err := check.run()
		if err != nil {
			return nil, nil, err
		}
		bad = append(bad, more...)
	}
	return bad, kept, nil
}

// sameOutput matches the outputs of a batch, which are name, name_2, name_3 …
func sameOutput(got, want string) bool {
	if got == want {
		return true
	}
	rest, ok := strings.CutPrefix(got, want+"_")
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// uploads sends the files that a case's inputs name, relative to the service
// file; everything else stays.
func (a *App) uploads(ctx context.Context, p *project, c *client.Client, w *client.Workflow, in map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for name, raw := range in {
		out[name] = raw
		var text string
		if !w.Inputs.Properties[name].File || json.Unmarshal(raw, &text) != nil {
			continue
		}
		path := filepath.Join(p.Dir, filepath.FromSlash(strings.TrimPrefix(text, "@")))
		st, err := os.Stat(path)
		if err != nil || st.IsDir() {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", text, err)
		}
		file, err := c.Upload(ctx, filepath.Base(path), f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		out[name] = quote(file.ID)
	}
	return out, nil
}

// keep leaves what is needed to look into a failed case.
func (a *App) keep(p *project, tc testCase, in map[string]json.RawMessage, job *client.Job, outputs map[string][]byte, v *verdict) error {
	dir := filepath.Join(p.Dir, stateDir, "test", fileName(tc.Name))
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("saving a failed case: %w", err)
	}
	body, err := json.MarshalIndent(map[string]any{"input": in}, "", "  ")
	if err != nil {
		return fmt.Errorf("saving a failed case: %w", err)
	}
	files := map[string][]byte{"input.json": append(body, '\n'), "log.txt": []byte(strings.Join(v.Failures, "\n") + "\n")}
	if job != nil {
		files["job.json"] = append(slices.Clone(job.Raw), '\n')
	}
	for name, b := range outputs {
		files[name] = b
	}
	v.Saved = a.shown(dir)
	for name, b := range files {
		if err := writeAtomic(filepath.Join(dir, name), b); err != nil {
			return fmt.Errorf("saving a failed case: %w", err)
		}
		v.Files = append(v.Files, a.shown(filepath.Join(dir, name)))
	}
	slices.Sort(v.Files)
	return nil
}
