package files

import (
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"regexp"

	"github.com/comfyctl/comfyctl/pkg/runner/outputs"
)

// pixelError says that a picture has more pixels than are taken.
type pixelError struct {
	width, height int
	max           int64
}

func (e *pixelError) Error() string {
	return fmt.Sprintf("is a picture of %d×%d pixels, at most %d in all are taken", e.width, e.height, e.max)
}

// FaultCode is the code of the fault in a reply.
func (e *pixelError) FaultCode() string { return "too_many_pixels" }

// plainExtension keeps what a caller calls a file from meaning something to
// the engine.
var plainExtension = regexp.MustCompile(`^\.[a-z0-9]{1,12}$`)

// describe tells what a file is. Of a picture the header is decoded: what only
// looks like one is a file.
func (s *Store) describe(path, name string) (*Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	defer f.Close()
	head := make([]byte, 1<<14)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	kind := outputs.Sniff(head[:n], name)
	info := &Info{Name: name, ContentType: kind.ContentType, Type: kind.Type, Ext: kind.Ext}
	if !plainExtension.MatchString(info.Ext) {
		info.Ext = ""
	}
	if kind.Type != "image" {
		return info, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		info.Type = "file"
		return info, nil
	}
	info.Width, info.Height = c.Width, c.Height
	if s.Limits.Pixels > 0 && int64(c.Width)*int64(c.Height) > s.Limits.Pixels {
		return nil, &pixelError{c.Width, c.Height, s.Limits.Pixels}
	}
	return info, nil
}
