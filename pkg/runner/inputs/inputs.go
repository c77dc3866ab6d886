// Package inputs checks what a caller sent against the typed inputs of a
// workflow, and writes it into the graph. Every problem is found at once.
// Numbers keep their digits from the request to the engine.
package inputs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// FileResolver turns what a caller gave for a file input (an id, a hash, a URL,
// a data URI) into a stored file. The error is for the caller; it may have a
// method FaultCode. Where fetch is false, nothing is fetched: a value that would
// need it is checked as far as it can be, and no file comes back.
type FileResolver interface {
	Resolve(ctx context.Context, value string, in contract.Input, fetch bool) (*StoredFile, error)
}

// StoredFile is a file in the runner's store.
type StoredFile struct {
	SHA256 string // hex
	Ext    string // with the dot
}

// Bound is a request that fits.
type Bound struct {
	// Input is what ran: defaults filled in, seeds drawn, in the contract's order.
	Input json.RawMessage
	Graph json.RawMessage
	Files []jobs.FileInput
}

// Bind checks input and writes it into the workflow's graph. Problems come
// back as fields whose pointers start at base, such as /input. Files are looked
// for only where nothing else is wrong, since that may mean fetching them.
func Bind(ctx context.Context, wf *contract.Workflow, input map[string]json.RawMessage, base string, files FileResolver) (*Bound, []problem.Field, error) {
	graph, err := prompt.Decode(wf.Graph)
	if err != nil {
		return nil, nil, fmt.Errorf("workflow %s: %w", wf.Name, err)
	}
	b := &binder{wf: wf, base: base, graph: graph}
	b.unknown(input)
	values := map[string]json.RawMessage{}
	for _, in := range wf.Inputs {
		raw, sent := input[in.Name]
		if v, ok := b.value(in, raw, sent); ok {
			values[in.Name] = v
		}
	}
	bound := &Bound{}
	if err := b.place(ctx, values, files, bound); err != nil || len(b.fields) > 0 {
		return nil, b.fields, err
	}
	bound.Input = b.shown(values)
	bound.Graph, err = graph.Encode()
	return bound, nil, err
}

// Settings are values of some inputs as the graph takes them. What does not
// fit the workflow is an error, since it comes from the service and not from a
// caller.
func Settings(wf *contract.Workflow, input map[string]json.RawMessage) ([]jobs.Setting, error) {
	b := &binder{wf: wf}
	b.unknown(input)
	list := []jobs.Setting{}
	for _, in := range wf.Inputs {
		raw, sent := input[in.Name]
		if !sent {
			continue
		}
		if IsFile(in.Type) {
			return nil, fmt.Errorf("workflow %s: input %s is a file, which cannot be set here", wf.Name, in.Name)
		}
		if value, ok := b.value(in, raw, true); ok {
			for _, t := range in.To {
				list = append(list, jobs.Setting{Node: t.Node, Input: t.Input, Value: value})
			}
		}
	}
	if len(b.fields) > 0 {
		return nil, fmt.Errorf("workflow %s: %s", wf.Name, b.fields[0].Message)
	}
	return list, nil
}

// place writes the values into the graph and finds the files.
func (b *binder) place(ctx context.Context, values map[string]json.RawMessage, files FileResolver, bound *Bound) error {
	sound := len(b.fields) == 0
	for _, in := range b.wf.Inputs {
		value, ok := values[in.Name]
		if !ok {
			continue
		}
		if !IsFile(in.Type) {
			for _, t := range in.To {
				if err := b.graph.Set(t.Node, t.Input, value); err != nil {
					return fmt.Errorf("workflow %s, input %s: %w", b.wf.Name, in.Name, err)
				}
			}
			continue
		}
		var ref string
		if err := json.Unmarshal(value, &ref); err != nil {
			return fmt.Errorf("workflow %s, input %s: %w", b.wf.Name, in.Name, err)
		}
		f, err := files.Resolve(ctx, ref, in, sound)
		if err != nil {
			code := "bad_file"
			var coded interface{ FaultCode() string }
			if errors.As(err, &coded) {
				code = coded.FaultCode()
			}
			b.fail(in, code, err.Error(), nil, "")
			continue
		}
		if f != nil {
			bound.Files = append(bound.Files, fileInput(in, f))
			values[in.Name], _ = json.Marshal("sha256:" + f.SHA256)
		}
	}
	return nil
}

// shown is the input as replies show it, in the contract's order. A seed that
// JavaScript would round is shown as text.
func (b *binder) shown(values map[string]json.RawMessage) json.RawMessage {
	var out bytes.Buffer
	out.WriteByte('{')
	for _, in := range b.wf.Inputs {
		value, ok := values[in.Name]
		if !ok {
			continue
		}
		if in.Type == contract.TypeSeed {
			if n, ok := new(big.Int).SetString(string(value), 10); ok && n.Cmp(big.NewInt(contract.MaxSafeSeed)) > 0 {
				value = json.RawMessage(`"` + n.String() + `"`)
			}
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		key, _ := json.Marshal(in.Name)
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes()
}

type binder struct {
	wf     *contract.Workflow
	base   string
	graph  prompt.Graph
	fields []problem.Field
}

func (b *binder) fail(in contract.Input, code, message string, allowed any, suggestion string) {
	b.fields = append(b.fields, problem.Field{Pointer: b.base + "/" + escape(in.Name), Code: code, Message: "`" + in.Name + "` " + message, Allowed: allowed, Suggestion: suggestion})
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

func (b *binder) unknown(input map[string]json.RawMessage) {
	var names, extra []string
	for _, in := range b.wf.Inputs {
		names = append(names, in.Name)
	}
	for name := range input {
		if !slices.Contains(names, name) {
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	for _, name := range extra {
		b.fields = append(b.fields, problem.Field{Pointer: b.base + "/" + escape(name), Code: "unknown_input",
			Message: "the workflow has no input `" + name + "`", Allowed: names, Suggestion: diag.Suggest(name, names)})
	}
}

// IsFile reports whether an input of the type is a file.
func IsFile(typ string) bool {
	switch typ {
	case contract.TypeImage, contract.TypeMask, contract.TypeVideo, contract.TypeAudio, contract.TypeFile, contract.TypeModel3, contract.TypeLatent:
		return true
	}
	return false
}

func fileInput(in contract.Input, f *StoredFile) jobs.FileInput {
	fi := jobs.FileInput{SHA256: f.SHA256, Ext: f.Ext}
	for _, t := range in.To {
		fi.To = append(fi.To, [2]string{t.Node, t.Input})
	}
	return fi
}

// value checks one input. ok is false where it failed or where the graph's own
// value stays.
func (b *binder) value(in contract.Input, raw json.RawMessage, sent bool) (value json.RawMessage, ok bool) {
	null := !sent || string(raw) == "null"
	switch {
	case null && in.Type == contract.TypeSeed && (in.Random || in.Default == nil):
		return drawSeed(in), true
	case null && in.Required && in.Default == nil:
		b.fail(in, "required", "is required", nil, "")
		return nil, false
	case null && in.Default == nil:
		return nil, false
	case null:
		raw = in.Default
		if IsFile(in.Type) {
			return nil, false // the graph's own file stays
		}
	}
	switch in.Type {
	case contract.TypeInt, contract.TypeSeed:
		return b.integer(in, raw)
	case contract.TypeFloat:
		return b.float(in, raw)
	case contract.TypeBool:
		if s := string(raw); s == "true" || s == "false" {
			return raw, true
		}
		b.fail(in, "wrong_type", "takes true or false", nil, "")
		return nil, false
	case contract.TypeEnum:
		return b.enum(in, raw)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		want := "takes text"
		if IsFile(in.Type) {
			want = "takes a file as text: an id (file_…), a hash (sha256:…), a data: or https: URL"
		}
		b.fail(in, "wrong_type", want, nil, "")
		return nil, false
	}
	if n := utf8.RuneCountInString(s); in.MaxLength > 0 && n > in.MaxLength && !IsFile(in.Type) {
		b.fail(in, "too_long", fmt.Sprintf("has %d characters, at most %d are allowed", n, in.MaxLength), map[string]any{"max_length": in.MaxLength}, "")
		return nil, false
	}
	if len(in.Enum) > 0 {
		return b.enum(in, raw)
	}
	return raw, true
}

func (b *binder) enum(in contract.Input, raw json.RawMessage) (json.RawMessage, bool) {
	var names []string
	for _, e := range in.Enum {
		if bytes.Equal(e, raw) || sameJSON(e, raw) {
			return e, true
		}
		var s string
		if json.Unmarshal(e, &s) == nil {
			names = append(names, s)
		}
	}
	var got string
	_ = json.Unmarshal(raw, &got)
	b.fail(in, "not_in_list", "is not one of the values on offer", in.Enum, diag.Suggest(got, names))
	return nil, false
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && fmt.Sprint(x) == fmt.Sprint(y) && fmt.Sprintf("%T", x) == fmt.Sprintf("%T", y)
}
