package workflow

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/comfyctl/comfyctl/internal/diag"
)

var pngSignature = []byte("\x89PNG\r\n\x1a\n")

// maxChunk bounds the text taken out of a picture, in bytes.
const maxChunk = 64 << 20

// IsPNG reports whether the bytes start as a PNG does.
func IsPNG(b []byte) bool { return bytes.HasPrefix(b, pngSignature) }

// promptOf is the prompt that ComfyUI wrote into a picture.
func promptOf(file string, b []byte) ([]byte, *diag.Diagnostic) {
	texts, err := PNGText(b)
	d := diag.Diagnostic{Code: "CW001", Severity: diag.SeverityError}
	d.File = file
	switch {
	case texts["prompt"] != nil:
		return texts["prompt"], nil
	case err != nil:
		d.Message, d.Label = "this picture cannot be read", err.Error()
	case texts["workflow"] != nil:
		d.Code, d.Server = "CW002", "invalid_prompt"
		d.Message = "this picture holds ComfyUI's editor save, not the API export"
	default:
		d.Message = "this picture holds no workflow"
	}
	d.Help = howToExport
	return nil, &d
}

// PNGText returns the text chunks (tEXt, zTXt, iTXt) of a PNG by keyword. What
// was read before an error is returned with it.
func PNGText(b []byte) (map[string][]byte, error) {
	if !IsPNG(b) {
		return nil, errors.New("reading PNG: no PNG signature")
	}
	texts := map[string][]byte{}
	b = b[len(pngSignature):]
	for len(b) > 0 {
		if len(b) < 12 {
			return texts, errors.New("reading PNG: the file is cut off")
		}
		size, name := binary.BigEndian.Uint32(b), string(b[4:8])
		if uint64(size)+12 > uint64(len(b)) {
			return texts, fmt.Errorf("reading PNG: chunk %q is cut off", name)
		}
		data := b[8 : 8+size]
		b = b[12+size:]
		if name == "IEND" {
			return texts, nil
		}
		if name != "tEXt" && name != "zTXt" && name != "iTXt" {
			continue
		}
		key, text, err := textChunk(name, data)
		if err != nil {
			return texts, fmt.Errorf("reading PNG: chunk %q: %w", name, err)
		}
		texts[key] = text
	}
	return texts, nil
}

// textChunk splits one text chunk into keyword and UTF-8 text.
func textChunk(name string, data []byte) (string, []byte, error) {
	key, rest, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return "", nil, errors.New("no keyword")
	}
	switch name {
	case "tEXt":
		return string(key), latin1(rest), nil
	case "zTXt":
		if len(rest) < 1 || rest[0] != 0 {
			return "", nil, errors.New("unknown compression")
		}
		text, err := inflate(rest[1:])
		return string(key), latin1(text), err
	}
	if len(rest) < 2 {
		return "", nil, errors.New("cut off")
	}
	packed, rest := rest[0] == 1, rest[2:]
	for range 2 { // language tag, translated keyword
		if _, rest, ok = bytes.Cut(rest, []byte{0}); !ok {
			return "", nil, errors.New("cut off")
		}
	}
	if packed {
		text, err := inflate(rest)
		return string(key), text, err
	}
	return string(key), rest, nil
}

func inflate(b []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("inflating: %w", err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxChunk+1))
	if err != nil {
		return nil, fmt.Errorf("inflating: %w", err)
	}
	if len(text) > maxChunk {
		return nil, fmt.Errorf("inflating: more than %d bytes", maxChunk)
	}
	return text, nil
}

// latin1 turns ISO 8859-1, the encoding of tEXt and zTXt, into UTF-8. ASCII
// comes back as it is.
func latin1(b []byte) []byte {
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
