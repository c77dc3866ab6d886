package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // decoders of what outputs may be
	_ "image/jpeg"
	_ "image/png"
	"io"
	"os"
	"strings"

	_ "golang.org/x/image/webp" // the same

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/likeness"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// complaint is one expectation that was not met. Pointer is where the service
// file states it, under the test.
type complaint struct {
	Pointer string
	Text    string
}

// checkRefusal compares what the API refused with what was expected.
func checkRefusal(e service.Expect, p *client.Problem) []complaint {
	var list []complaint
	if e.Status != p.Status {
		want := "a job"
		if e.Status != 0 {
			want = fmt.Sprint(e.Status)
		}
		list = append(list, complaint{"/expect/status", fmt.Sprintf("want %s, got %d: %s", want, p.Status, p.Message)})
	}
	if e.Error != "" && e.Error != p.Code && !hasCode(p.Errors, e.Error) {
		list = append(list, complaint{"/expect/error", fmt.Sprintf("want error %s, got %s", e.Error, p.Code)})
	}
	return list
}

func hasCode(list []client.Field, code string) bool {
	for _, f := range list {
		if f.Code == code {
			return true
		}
	}
	return false
}

// checkJob compares a finished job with what was expected.
func checkJob(e service.Expect, job *client.Job, millis int64) []complaint {
	var list []complaint
	add := func(at, format string, args ...any) {
		list = append(list, complaint{at, fmt.Sprintf(format, args...)})
	}
	if e.Status >= 400 {
		add("/expect/status", "want %d, got a job that %s", e.Status, job.Status)
		return list
	}
	want := client.Succeeded
	if e.Job != "" {
		want = e.Job
	} else if e.Error != "" {
		want = client.Failed
	}
	if job.Status != want {
		text := ""
		if job.Error != nil {
			text = ": " + job.Error.Message
		}
		add("/expect/job", "want a job that %s, got %s%s", want, job.Status, text)
		return list
	}
	if e.Error != "" && (job.Error == nil || job.Error.Code != e.Error) {
		got := "none"
		if job.Error != nil {
			got = job.Error.Code
		}
		add("/expect/error", "want error %s, got %s", e.Error, got)
	}
	if e.Within.Set && millis > e.Within.Milliseconds() {
		add("/expect/within", "want an answer within %s, took %.1fs", e.Within.Duration, float64(millis)/1000)
	}
	return list
}

// outputCheck compares one expected output with what came. The bytes of the
// first output are given.
type outputCheck struct {
	want   service.ExpectOutput
	got    []client.Output
	first  []byte
	golden string // path of the picture it must resemble
	update bool
}

func (o outputCheck) run() ([]complaint, error) {
	w := o.want
	at := "/expect/outputs/" + strings.ReplaceAll(strings.ReplaceAll(w.Name, "~", "~0"), "/", "~1")
	if len(o.got) == 0 {
		return []complaint{{at, "the job has no output `" + w.Name + "`"}}, nil
	}
	var list []complaint
	add := func(key, format string, args ...any) {
		list = append(list, complaint{at + "/" + key, "outputs." + w.Name + "." + key + ": " + fmt.Sprintf(format, args...)})
	}
	g := o.got[0]
	if w.Count > 0 && len(o.got) != w.Count {
		add("count", "want %d, got %d", w.Count, len(o.got))
	}
	if w.Type != "" && w.Type != g.ContentType {
		add("type", "want %s, got %s", w.Type, g.ContentType)
	}
	for _, d := range []struct {
		key             string
		exact, min, got int
	}{{"width", w.Width, w.MinWidth, g.Width}, {"height", w.Height, w.MinHeight, g.Height}} {
		if d.exact > 0 && d.got != d.exact {
			add(d.key, "want %d, got %d", d.exact, d.got)
		}
		if d.min > 0 && d.got < d.min {
			add("min_"+d.key, "want at least %d, got %d", d.min, d.got)
		}
	}
	if w.MinSize.Set && g.SizeBytes < w.MinSize.Bytes {
		add("min_size", "want at least %d bytes, got %d", w.MinSize.Bytes, g.SizeBytes)
	}
	if w.Text != "" && strings.TrimSpace(string(o.first)) != strings.TrimSpace(w.Text) {
		add("text", "want %q, got %q", w.Text, label(json.RawMessage(o.first)))
	}
	if w.Like == "" {
		return list, nil
	}
	text, err := o.like()
	if text != "" {
		add("like", "%s", text)
	}
	return list, err
}

// like compares the picture with the golden one, or writes that one.
func (o outputCheck) like() (string, error) {
	got, _, err := image.Decode(bytes.NewReader(o.first))
	if err != nil {
		return "the output is no picture that can be compared: " + err.Error(), nil
	}
	if o.update {
		if err := writeAtomic(o.golden, o.first); err != nil {
			return "", fmt.Errorf("writing %s: %w", o.want.Like, err)
		}
		return "", nil
	}
	f, err := os.Open(o.golden)
	if errors.Is(err, os.ErrNotExist) {
		return "there is no " + o.want.Like + "; `comfyctl test --update` writes it", nil
	} else if err != nil {
		return "", fmt.Errorf("reading %s: %w", o.want.Like, err)
	}
	defer f.Close()
	want, _, err := image.Decode(f)
	if err != nil {
		return o.want.Like + " is no picture: " + err.Error(), nil
	}
	if d := likeness.Between(likeness.Of(want), likeness.Of(got)); !d.Alike() {
		return "does not resemble " + o.want.Like + ": " + d.String(), nil
	}
	return "", nil
}

// fetch reads an output whole.
func fetch(ctx context.Context, c *client.Client, job *client.Job, o client.Output) ([]byte, error) {
	r, err := c.Open(ctx, job, o)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}
