package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Encode writes a lock: one line for each field, and in lists one for each
// entry, so that a change of one thing is a change of one line.
func (l *Lock) Encode() ([]byte, error) {
	l.sort()
	var b bytes.Buffer
	b.WriteString("{")
	v := reflect.ValueOf(*l)
	first := true
	for i := range v.NumField() {
		name, rest, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := v.Field(i)
		if rest == "omitempty" && f.IsZero() || f.Kind() == reflect.Slice && rest == "omitempty" && f.Len() == 0 {
			continue
		}
		if !first {
			b.WriteString(",")
		}
		first = false
		fmt.Fprintf(&b, "\n%q: ", name)
		if err := encodeField(&b, f); err != nil {
			return nil, fmt.Errorf("writing the lock: %w", err)
		}
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

func encodeField(b *bytes.Buffer, f reflect.Value) error {
	if f.Kind() == reflect.Map {
		return encodeMap(b, f)
	}
	if f.Kind() != reflect.Slice || f.Type().Elem().Kind() != reflect.Struct {
		return encodeLine(b, f.Interface())
	}
	b.WriteString("[")
	for i := range f.Len() {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  ")
		if err := encodeLine(b, f.Index(i).Interface()); err != nil {
			return err
		}
	}
	if f.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString("]")
	return nil
}

func encodeMap(b *bytes.Buffer, f reflect.Value) error {
	b.WriteString("{")
	keys := f.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	for i, k := range keys {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  ")
		if err := encodeLine(b, k.String()); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := encodeLine(b, f.MapIndex(k).Interface()); err != nil {
			return err
		}
	}
	if len(keys) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("}")
	return nil
}

func encodeLine(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line end
	return nil
}

// sort puts lists into the one order that they have in a file.
func (l *Lock) sort() {
	slices.Sort(l.System)
	slices.SortFunc(l.Wheels, func(a, b Wheel) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(l.Nodes, func(a, b Node) int { return strings.Compare(a.Dir, b.Dir) })
	slices.SortFunc(l.Models, func(a, b Model) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(l.Sources, func(a, b Feed) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(l.Notes, func(a, b Note) int { return strings.Compare(a.From, b.From) })
	for i := range l.Nodes {
		slices.Sort(l.Nodes[i].Classes)
		slices.Sort(l.Nodes[i].Owns)
	}
}

// Decode reads a lock. It is strict: a field that it does not know is from a
// newer comfyctl, and rewriting the file would lose it.
func Decode(b []byte) (*Lock, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, damaged(err)
	}
	if head.Version != Version {
		return nil, &diag.Error{Code: "lock_version", Class: diag.ClassCheck, Message: fmt.Sprintf("the lock is of format %d, this comfyctl knows format %d", head.Version, Version), Help: "use the comfyctl that wrote it, or remove it and run `comfyctl lock`"}
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	l := &Lock{}
	if err := dec.Decode(l); err != nil {
		return nil, damaged(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, damaged(errors.New("something follows its end"))
	}
	if err := l.sound(); err != nil {
		return nil, damaged(err)
	}
	l.sort()
	return l, nil
}

func damaged(err error) error {
	return &diag.Error{Code: "lock_damaged", Class: diag.ClassCheck, Err: err, Message: "the lock cannot be read", Help: "take it from version control again, or remove it and run `comfyctl lock`"}
}

// sound refuses values that would be unsafe to act on, because a lock may come
// from somebody else.
func (l *Lock) sound() error {
	hex := func(s string, sizes ...int) bool {
		return slices.Contains(sizes, len(s)) && strings.Trim(s, "0123456789abcdef") == ""
	}
	if c := l.ComfyUI.Commit; c != "" && !hex(c, 40) {
		return fmt.Errorf("comfyui: %q is no commit", c)
	}
	if !hex(l.ComfyUI.Tree, 40, 64) {
		return fmt.Errorf("comfyui is not pinned")
	}
	seen := map[string]bool{}
	for _, n := range l.Nodes {
		if !safeName(n.Dir) || seen[strings.ToLower(n.Dir)] {
			return fmt.Errorf("nodes: %q is no name of a folder, or is there twice", n.Dir)
		}
		seen[strings.ToLower(n.Dir)] = true
		switch {
		case n.From == FromGit && hex(n.Commit, 40) && hex(n.Tree, 40) && n.URL != "":
		case n.From == FromRegistry && hex(n.SHA256, 64) && n.URL != "":
		case n.From == FromFolder && hex(n.Tree, 64) && n.Path != "":
		default:
			return fmt.Errorf("nodes: %s is not pinned", n.Dir)
		}
	}
	for _, w := range l.Wheels {
		if w.Name == "" || !hex(w.SHA256, 64) || strings.ContainsAny(w.Name+w.Version+w.URL+w.File+w.Index, "\n\r ") {
			return fmt.Errorf("wheels: %q is not pinned", w.Name)
		}
	}
	for _, m := range l.Models {
		if m.SHA256 != "" && !hex(m.SHA256, 64) {
			return fmt.Errorf("models: %q is not pinned", m.Path)
		}
	}
	return nil
}

// safeName reports whether a folder may have that name under custom_nodes.
func safeName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\\x00\n\r") && !strings.HasSuffix(strings.ToLower(name), ".disabled") && name != "__pycache__"
}

// Read reads the lock beside a service file; nil where there is none.
func Read(dir string) (*Lock, error) {
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lock: %w", err)
	}
	return Decode(b)
}

// Write replaces the lock in dir as a whole: who is interrupted leaves the old
// one.
func (l *Lock) Write(dir string) error {
	b, err := l.Encode()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+FileName+"-")
	if err != nil {
		return fmt.Errorf("writing the lock: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, FileName))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the lock: %w", err), os.Remove(f.Name()))
	}
	return nil
}
