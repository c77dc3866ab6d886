// Package media finds the workflow that ComfyUI and its packs write into the
// pictures, videos and sounds that they make. Files are read in parts, so that
// a long video costs no more than a short one.
package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// Found is what a file holds.
type Found struct {
	// Format is how people call the kind of file, such as PNG.
	Format string
	// Prompt is what ran, in the API format, as it stands in the file; nil where
	// there is none. Workflow is the editor's save.
	Prompt, Workflow []byte
	// Origin is where the two stand, such as `text chunk "prompt"`.
	Origin string
	// Parameters is set where the file holds the settings of another program in
	// place of a workflow.
	Parameters bool
}

// MaxText bounds what is taken out of a file, in bytes.
const MaxText = 64 << 20

// maxSteps bounds the parts that are looked at in one file.
const maxSteps = 1 << 20

var (
	errCut   = errors.New("the file is cut off")
	errLarge = fmt.Errorf("a text of more than %d bytes", MaxText)
	errSteps = errors.New("the file has too many parts")
)

// HeadSize is how many bytes Is wants to see.
const HeadSize = 16

// Is reports whether the first bytes are those of a kind that Read knows.
func Is(head []byte) bool { return kindOf(head) != nil }

// format is a kind of file and how it is read.
type format struct {
	name string
	is   func(head []byte) bool
	read func(f *file) error
}

func starts(magic string) func([]byte) bool {
	return func(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }
}

func at(offset int, magic string) func([]byte) bool {
	return func(head []byte) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
}

var formats = []format{
	{"PNG", starts(pngSignature), (*file).png},
	{"WebP", at(8, "WEBP"), (*file).webp},
	{"JPEG", starts("\xff\xd8\xff"), (*file).jpeg},
	{"MP4", at(4, "ftyp"), (*file).mp4},
	{"WebM", starts("\x1a\x45\xdf\xa3"), (*file).matroska},
	{"FLAC", starts("fLaC"), (*file).flac},
	{"Ogg", starts("OggS"), (*file).ogg},
	{"MP3", starts("ID3"), (*file).id3},
	{"GLB", starts("glTF"), (*file).glb},
	{"safetensors", isSafetensors, (*file).safetensors},
}

// isSafetensors tells the length of a JSON header and its first letters from a
// text that is merely indented.
func isSafetensors(head []byte) bool {
	return at(8, `{"`)(head) && string(head[4:8]) == "\x00\x00\x00\x00"
}

func kindOf(head []byte) *format {
	for i := range formats {
		if formats[i].is(head) {
			return &formats[i]
		}
	}
	return nil
}

// Read looks for a workflow in a file of size bytes. What was found before an
// error is returned with it; Found is nil only for a kind that is not known.
func Read(r io.ReaderAt, size int64) (*Found, error) {
	head := make([]byte, min(size, HeadSize))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	k := kindOf(head)
	if k == nil {
		return nil, errors.New("reading the file: not a picture, video or sound that is known here")
	}
	f := &file{r: r, size: size, found: &Found{Format: k.name}}
	if err := k.read(f); err != nil {
		return f.found, fmt.Errorf("reading %s: %w", k.name, err)
	}
	return f.found, nil
}

// file is a file being read.
type file struct {
	r     io.ReaderAt
	size  int64
	steps int
	found *Found
}

// bytes reads n bytes at an offset.
func (f *file) bytes(offset, n int64) ([]byte, error) {
	if f.steps++; f.steps > maxSteps {
		return nil, errSteps
	}
	if offset < 0 || n < 0 || offset > f.size || n > f.size-offset {
		return nil, errCut
	}
	if n > MaxText {
		return nil, errLarge
	}
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// take keeps a text that stands under a name in the file. Some programs put
// both texts into one comment.
func (f *file) take(where, name string, text []byte) {
	text = bytes.TrimRight(text, "\x00")
	body := bytes.TrimLeft(text, " \t\r\n\x00")
	switch strings.ToLower(name) {
	case "prompt":
		f.keep(&f.found.Prompt, where, name, body)
	case "workflow":
		f.keep(&f.found.Workflow, where, name, body)
	case "parameters":
		f.found.Parameters = true
	default:
		f.comment(where, name, body)
	}
}

func (f *file) keep(to *[]byte, where, name string, body []byte) {
	if *to != nil || len(body) == 0 || body[0] != '{' {
		return
	}
	*to = body
	if f.found.Origin == "" || name == "prompt" {
		f.found.Origin = fmt.Sprintf("%s %q", where, name)
	}
}

// comment looks into a text of any name: `prompt:{…}`, or an object with both.
func (f *file) comment(where, name string, body []byte) {
	for _, key := range []string{"prompt", "workflow"} {
		if rest, ok := cutFold(body, key+":"); ok {
			f.take(where, key, rest)
			return
		}
	}
	if len(body) == 0 || body[0] != '{' || !bytes.Contains(body, []byte(`"prompt"`)) && !bytes.Contains(body, []byte(`"workflow"`)) {
		return
	}
	v, _, err := jsonpos.Scan(body, 0)
	if err != nil {
		return
	}
	for _, key := range []string{"prompt", "workflow"} {
		switch m := v.Get(key); {
		case m == nil:
		case m.Kind == jsonpos.String:
			f.take(where+" "+name, key, []byte(m.Text))
		case m.Kind == jsonpos.Object:
			f.take(where+" "+name, key, body[m.Start:m.End])
		}
	}
}

func cutFold(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || !strings.EqualFold(string(b[:len(prefix)]), prefix) {
		return nil, false
	}
	return b[len(prefix):], true
}

// latin1 turns ISO 8859-1 into UTF-8. What is UTF-8 already, as many programs
// write in spite of the standard, comes back as it is.
func latin1(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c < 0x80 {
			out = append(out, c)
		} else {
			out = append(out, 0xc0|c>>6, 0x80|c&0x3f)
		}
	}
	return out
}
