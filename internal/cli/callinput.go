package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/diag"
)

// readInputs reads --json: @FILE, @- or the text itself. It may be the inputs
// or a whole request.
func (a *App) readInputs(arg string) (map[string]json.RawMessage, error) {
	b := []byte(arg)
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		r, _, err := a.open(name)
		if err != nil {
			return nil, err
		}
		b, err = io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, usageError("unreadable_file", "`"+name+"` cannot be read", err.Error())
		}
	}
	var in map[string]json.RawMessage
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, &diag.Error{Code: "bad_json", Class: diag.ClassCheck, Message: "--json is no JSON object", Help: "for example --json '{\"prompt\":\"a fox\"}'", Err: err}
	}
	if inner, ok := in["input"]; ok && len(bytes.TrimSpace(inner)) > 0 && bytes.TrimSpace(inner)[0] == '{' {
		var only map[string]json.RawMessage
		if err := json.Unmarshal(inner, &only); err == nil {
			return only, nil
		}
	}
	if in == nil {
		in = map[string]json.RawMessage{}
	}
	return in, nil
}

// open opens a file of the command line; - is stdin.
func (a *App) open(name string) (io.ReadCloser, string, error) {
	if name == "-" {
		if a.in == nil {
			return nil, "", usageError("no_stdin", "stdin is used once already", "only one input can come from @-")
		}
		r := a.in
		a.in = nil
		return io.NopCloser(r), "stdin", nil
	}
	path, err := a.path(name)
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", usageError("unreadable_file", "`"+name+"` cannot be read", pathReason(err))
	}
	return f, filepath.Base(name), nil
}

// pathReason is an error of the file system without the path.
func pathReason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// bindPairs turns KEY=VALUE into JSON by the workflow's schema, and uploads
// files. All mistakes are reported at once.
func (a *App) bindPairs(ctx context.Context, c *client.Client, w *client.Workflow, pairs []string, in map[string]json.RawMessage) error {
	var wrong []*diag.Error
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return usageError("bad_pair", "`"+pair+"` is not KEY=VALUE", "for example prompt=\"a red fox\"")
		}
		prop, ok := w.Inputs.Properties[key]
		if !ok {
			e := &diag.Error{Code: "unknown_input", Class: diag.ClassCheck, Message: "`" + w.Name + "` has no input `" + key + "`", Help: "its inputs are " + strings.Join(w.Inputs.Order, ", ")}
			if near := diag.Suggest(key, w.Inputs.Order); near != "" {
				e.Help = "did you mean `" + near + "`?"
			}
			wrong = append(wrong, e)
			continue
		}
		raw, err := a.value(ctx, c, key, value, prop)
		var e *diag.Error
		if errors.As(err, &e) && e.Class == diag.ClassCheck {
			wrong = append(wrong, e)
			continue
		} else if err != nil {
			return err
		}
		in[key] = raw
	}
	if len(wrong) == 0 {
		return nil
	}
	for _, e := range wrong[1:] {
		text := e.Message
		if e.Help != "" {
			text += "; " + e.Help
		}
		wrong[0].Facts = append(wrong[0].Facts, [2]string{"also", text})
	}
	return wrong[0]
}

// value reads one argument by its input's type.
func (a *App) value(ctx context.Context, c *client.Client, key, text string, p client.Property) (json.RawMessage, error) {
	name, file := strings.CutPrefix(text, "@")
	switch {
	case file && strings.HasPrefix(name, "@"):
		text = name // @@x is the text @x
	case file && p.File:
		r, base, err := a.open(name)
		if err != nil {
			return nil, err
		}
		f, err := c.Upload(ctx, base, r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, a.remote(ctx, c, err)
		}
		return quote(f.ID), nil
	case file:
		r, _, err := a.open(name)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, usageError("unreadable_file", "`"+name+"` cannot be read", pathReason(err))
		}
		text = strings.TrimSuffix(string(b), "\n")
	}
	return literal(key, text, p)
}

func quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string always encodes.
	_ = enc.Encode(s)
	return bytes.TrimSpace(b.Bytes())
}

// literal turns text into JSON of an input's type.
func literal(key, text string, p client.Property) (json.RawMessage, error) {
	bad := func(want string) error {
		return &diag.Error{Code: "input_wrong_type", Class: diag.ClassCheck, Message: fmt.Sprintf("`%s` is %q; it takes %s", key, text, want)}
	}
	switch p.Kind {
	case "int":
		if !number(text, true) {
			return nil, bad("a whole number")
		}
		return json.RawMessage(text), nil
	case "float":
		if !number(text, false) {
			return nil, bad("a number")
		}
		return json.RawMessage(text), nil
	case "bool":
		if text != "true" && text != "false" {
			return nil, bad("true or false")
		}
		return json.RawMessage(text), nil
	case "seed":
		if text == "random" || text == "" || text == "null" {
			return json.RawMessage("null"), nil
		}
		if _, err := strconv.ParseUint(text, 10, 64); err != nil {
			return nil, bad("a whole number from 0 to 2^64-1, or random")
		}
		return quote(text), nil
	case "enum":
		for _, v := range p.Enum {
			if string(v) == text || string(v) == string(quote(text)) {
				return v, nil
			}
		}
		return nil, notInList(key, text, p.Enum)
	}
	if p.File && !strings.Contains(text, ":") && !strings.HasPrefix(text, "file_") {
		return nil, &diag.Error{Code: "input_not_a_file", Class: diag.ClassCheck, Message: fmt.Sprintf("`%s` is %q; it takes a file, a URL or a file id", key, text),
			Help: key + "=@" + text + " sends the file"}
	}
	return quote(text), nil
}

// number reports whether text is a JSON number.
func number(text string, whole bool) bool {
	if !json.Valid([]byte(text)) || text == "" || !strings.ContainsAny(text[:1], "-0123456789") {
		return false
	}
	return !whole || !strings.ContainsAny(text, ".eE")
}

func notInList(key, text string, list []json.RawMessage) error {
	var names []string
	for _, v := range list {
		names = append(names, strings.Trim(string(v), `"`))
	}
	e := &diag.Error{Code: "input_not_in_list", Class: diag.ClassCheck, Message: fmt.Sprintf("`%s` is %q, which is not in its list", key, text)}
	if near := diag.Suggest(text, names); near != "" {
		e.Help = fmt.Sprintf("did you mean %q?", near)
		return e
	}
	if len(names) > 12 {
		names = append(slices.Clone(names[:12]), "…")
	}
	e.Help = "it takes " + strings.Join(names, ", ")
	return e
}
