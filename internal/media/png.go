package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// png reads the text chunks (tEXt, zTXt, iTXt, eXIf) of a PNG, and the chunk
// that ComfyUI has of its own in moving pictures (comf).
func (f *file) png() error {
	for pos := int64(len(pngSignature)); pos < f.size; {
		head, err := f.bytes(pos, 8)
		if err != nil {
			return err
		}
		size, name := int64(binary.BigEndian.Uint32(head)), string(head[4:8])
		if size+12 > f.size-pos {
			return fmt.Errorf("chunk %q: %w", name, errCut)
		}
		if name == "IEND" {
			return nil
		}
		if err := f.chunk(name, pos+8, size); err != nil {
			return fmt.Errorf("chunk %q: %w", name, err)
		}
		pos += 12 + size
	}
	return nil
}

func (f *file) chunk(name string, pos, size int64) error {
	switch name {
	case "tEXt", "zTXt", "iTXt", "eXIf", "comf":
	default:
		return nil
	}
	data, err := f.bytes(pos, size)
	if err != nil {
		return err
	}
	if name == "eXIf" {
		return f.exif(data)
	}
	key, text, err := textChunk(name, data)
	if err != nil {
		return err
	}
	f.take("text chunk", key, text)
	return nil
}

// textChunk splits one text chunk into keyword and UTF-8 text.
func textChunk(name string, data []byte) (string, []byte, error) {
	key, rest, ok := bytes.Cut(data, []byte{0})
	if !ok {
		return "", nil, errors.New("no keyword")
	}
	switch name {
	case "tEXt", "comf":
		return string(key), latin1(rest), nil
	case "zTXt":
		if len(rest) < 1 || rest[0] != 0 {
			return "", nil, errors.New("unknown compression")
		}
		text, err := inflate(rest[1:])
		return string(key), latin1(text), err
	}
	if len(rest) < 2 {
		return "", nil, errCut
	}
	packed, rest := rest[0] == 1, rest[2:]
	for range 2 { // language tag, translated keyword
		if _, rest, ok = bytes.Cut(rest, []byte{0}); !ok {
			return "", nil, errCut
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
	text, err := io.ReadAll(io.LimitReader(r, MaxText+1))
	if err != nil {
		return nil, fmt.Errorf("inflating: %w", err)
	}
	if len(text) > MaxText {
		return nil, errLarge
	}
	return text, nil
}
