package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

// Tags of EXIF that need a look of their own.
const (
	tagExifIFD     = 0x8769
	tagUserComment = 0x9286
	tagXPComment   = 0x9c9c
)

// exif reads the texts of an EXIF block. ComfyUI writes `prompt:{…}` into the
// tag of the camera's model and the other texts into those before it.
func (f *file) exif(b []byte) error {
	b = bytes.TrimPrefix(b, []byte("Exif\x00\x00"))
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return errors.New("EXIF: no TIFF header")
	}
	if len(b) < 8 {
		return errCut
	}
	seen := map[uint32]bool{}
	todo := []uint32{order.Uint32(b[4:])}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at == 0 || seen[at] || len(seen) > 16 {
			continue
		}
		seen[at] = true
		if uint64(at)+2 > uint64(len(b)) {
			return errCut
		}
		count := int(order.Uint16(b[at:]))
		entries := b[at+2:]
		for i := range count {
			if len(entries) < 12*(i+1) {
				return errCut
			}
			if next := f.tag(b, order, entries[12*i:12*i+12]); next != 0 {
				todo = append(todo, next)
			}
		}
	}
	return nil
}

// tag reads one entry; it returns where further entries lie, or 0.
func (f *file) tag(b []byte, order binary.ByteOrder, e []byte) uint32 {
	tag, typ, count := order.Uint16(e), order.Uint16(e[2:]), order.Uint32(e[4:])
	if tag == tagExifIFD {
		return order.Uint32(e[8:])
	}
	if typ != 1 && typ != 2 && typ != 7 && typ != 129 { // bytes, ASCII, undefined, UTF-8
		return 0
	}
	data := e[8:]
	if count > 4 {
		start := uint64(order.Uint32(e[8:]))
		if start+uint64(count) > uint64(len(b)) {
			return 0
		}
		data = b[start : start+uint64(count)]
	} else {
		data = data[:count]
	}
	name := "tag"
	switch tag {
	case tagUserComment:
		name = "UserComment"
		if len(data) >= 8 {
			if bytes.HasPrefix(data, []byte("UNICODE")) {
				data = fromUTF16(data[8:], order)
			} else if data[7] == 0 || data[0] == 0 {
				data = data[8:]
			}
		}
	case tagXPComment:
		name, data = "XPComment", fromUTF16(data, binary.LittleEndian)
	}
	f.take("EXIF", name, data)
	return 0
}

// fromUTF16 turns UTF-16 into UTF-8; a byte order mark overrules order.
func fromUTF16(b []byte, order binary.ByteOrder) []byte {
	if len(b) >= 2 {
		switch {
		case b[0] == 0xff && b[1] == 0xfe:
			b, order = b[2:], binary.LittleEndian
		case b[0] == 0xfe && b[1] == 0xff:
			b, order = b[2:], binary.BigEndian
		}
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, order.Uint16(b[i:]))
	}
	return []byte(string(utf16.Decode(units)))
}

// webp reads the EXIF chunk of a RIFF container.
func (f *file) webp() error {
	for pos := int64(12); pos+8 <= f.size; {
		head, err := f.bytes(pos, 8)
		if err != nil {
			return err
		}
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		if string(head[:4]) == "EXIF" {
			data, err := f.bytes(pos+8, size)
			if err != nil {
				return err
			}
			return f.exif(data)
		}
		pos += 8 + size + size&1
	}
	return nil
}

// jpeg reads the EXIF segments and comments before the picture itself.
func (f *file) jpeg() error {
	for pos := int64(2); ; {
		head, err := f.bytes(pos, 4)
		if err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint16(head[2:]))
		switch {
		case head[0] != 0xff:
			return errors.New("no marker where one should be")
		case head[1] == 0xff: // fill byte
			pos++
			continue
		case head[1] == 0xda || head[1] == 0xd9: // the picture, or the end
			return nil
		case size < 2:
			return errCut
		}
		if head[1] == 0xe1 || head[1] == 0xfe {
			data, err := f.bytes(pos+4, size-2)
			if err != nil {
				return err
			}
			if head[1] == 0xfe {
				f.take("comment", "comment", data)
			} else if bytes.HasPrefix(data, []byte("Exif\x00\x00")) {
				if err := f.exif(data); err != nil {
					return err
				}
			}
		}
		pos += 2 + size
	}
}
