package stub

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
)

// maskOnto puts the alpha of an uploaded picture onto the original that the
// reference names; it gives nothing where there is no such original.
func (c *core) maskOnto(upload []byte, reference string) ([]byte, error) {
	v, err := parseJSON([]byte(reference))
	if err != nil {
		return nil, fmt.Errorf("reading original_ref: %w", err)
	}
	ref, ok := v.(*object)
	if !ok {
		return nil, errors.New("original_ref is no object")
	}
	get := func(k, otherwise string) string {
		if t, ok := ref.values[k].(string); ok {
			return t
		}
		return otherwise
	}
	name, kind := get("filename", ""), get("type", "output")
	if name == "" || strings.HasPrefix(name, "/") || strings.Contains(name, "..") || kind != "input" && kind != "output" && kind != "temp" {
		return nil, errors.New("original_ref names no file")
	}
	file := c.annotated(get("subfolder", "") + "/" + filepath.Base(name) + " [" + kind + "]")
	if st, err := os.Stat(file); err != nil || !st.Mode().IsRegular() {
		return nil, nil //nolint:nilerr // an absent original is no error to ComfyUI either
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the original: %w", err)
	}
	original, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("reading the original: %w", err)
	}
	mask, _, err := image.Decode(bytes.NewReader(upload))
	if err != nil {
		return nil, fmt.Errorf("reading the mask: %w", err)
	}
	size := original.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, size.Dx(), size.Dy()))
	for y := range size.Dy() {
		for x := range size.Dx() {
			v := color.NRGBAModel.Convert(original.At(size.Min.X+x, size.Min.Y+y)).(color.NRGBA)
			v.A = 0
			if p := (image.Point{mask.Bounds().Min.X + x, mask.Bounds().Min.Y + y}); p.In(mask.Bounds()) {
				_, _, _, a := mask.At(p.X, p.Y).RGBA()
				v.A = uint8(a >> 8)
			}
			out.SetNRGBA(x, y, v)
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, out); err != nil {
		return nil, fmt.Errorf("writing the masked picture: %w", err)
	}
	return buf.Bytes(), nil
}
