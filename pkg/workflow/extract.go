package workflow

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/media"
)

// MaxFile bounds a workflow file that is no picture or video, in bytes.
const MaxFile = 256 << 20

// IsMedia reports whether the first bytes (16 are enough) are those of a
// picture, video or sound that may hold a workflow.
func IsMedia(head []byte) bool { return media.Is(head) }

// Text is the text of a workflow file of size bytes: the file itself, or what
// ComfyUI wrote into a picture, video or sound, of which only the needed parts
// are read. What ran is preferred to the editor's save. origin says where a
// text was found, and is empty for a file that is one. The finding is set where
// there is no text; the error is that of reading.
func Text(file string, r io.ReaderAt, size int64) (text []byte, origin string, d *diag.Diagnostic, err error) {
	head := make([]byte, min(size, media.HeadSize))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, "", nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if !media.Is(head) {
		if size > MaxFile {
			return nil, "", finding(file, "the file is too large for a workflow", fmt.Sprintf("%d bytes; the limit is %d", size, MaxFile)), nil
		}
		text, err := io.ReadAll(io.NewSectionReader(r, 0, size))
		if err != nil {
			return nil, "", nil, fmt.Errorf("reading %s: %w", file, err)
		}
		return text, "", nil, nil
	}
	found, err := media.Read(r, size)
	switch {
	case found.Prompt != nil:
		return found.Prompt, found.Format + ": " + found.Origin, nil, nil
	case found.Workflow != nil:
		return found.Workflow, found.Format + ": " + found.Origin, nil, nil
	case err != nil:
		return nil, "", finding(file, "this "+found.Format+" file cannot be read", err.Error()), nil
	case found.Parameters:
		return nil, "", finding(file, "this "+found.Format+" file holds no workflow", "it holds the settings of another program"), nil
	}
	return nil, "", finding(file, "this "+found.Format+" file holds no workflow", ""), nil
}

func finding(file, message, label string) *diag.Diagnostic {
	d := &diag.Diagnostic{Code: "CW001", Severity: diag.SeverityError, Message: message, Label: label, Help: howToExport}
	d.File = file
	return d
}

// extracted is the text of what was read whole already.
func extracted(file string, src []byte) ([]byte, string, *diag.Diagnostic) {
	if !media.Is(src[:min(len(src), media.HeadSize)]) {
		return src, "", nil
	}
	text, origin, d, _ := Text(file, bytes.NewReader(src), int64(len(src))) // a Reader of bytes does not fail
	return text, origin, d
}

// Saved is the editor's save that a picture, video or sound of size bytes holds
// beside the prompt; nil where it holds none.
func Saved(r io.ReaderAt, size int64) []byte {
	found, _ := media.Read(r, size) // what was read before a fault is good
	if found == nil {
		return nil
	}
	return found.Workflow
}
