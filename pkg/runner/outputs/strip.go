package outputs

import (
	"bytes"
	"encoding/binary"
)

// strip takes the texts, comments and EXIF data out of a picture and leaves its
// pixels as they are. What is not well-formed comes back as it was.
func strip(b []byte, contentType string) []byte {
	out, ok := b, false
	switch contentType {
	case "image/png":
		out, ok = stripPNG(b)
	case "image/jpeg":
		out, ok = stripJPEG(b)
	case "image/webp":
		out, ok = stripWebP(b)
	}
	if !ok {
		return b
	}
	return out
}

// stripPNG drops the chunks that hold texts, EXIF data and times.
func stripPNG(b []byte) ([]byte, bool) {
	const signature = 8
	if len(b) < signature {
		return nil, false
	}
	out := append([]byte(nil), b[:signature]...)
	for at := signature; at < len(b); {
		if len(b)-at < 12 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint32(b[at:]))
		if n < 0 || n > len(b)-at-12 {
			return nil, false
		}
		switch string(b[at+4 : at+8]) {
		case "tEXt", "zTXt", "iTXt", "eXIf", "tIME":
		default:
			out = append(out, b[at:at+12+n]...)
		}
		at += 12 + n
	}
	return out, true
}

// stripJPEG drops comments and the application segments but JFIF's, the colour
// profile's and Adobe's, without which colours would change.
func stripJPEG(b []byte) ([]byte, bool) {
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return nil, false
	}
	out := append([]byte(nil), b[:2]...)
	for at := 2; ; {
		if len(b)-at < 4 || b[at] != 0xff {
			return nil, false
		}
		mark := b[at+1]
		if mark == 0xda { // the picture itself, to the end
			return append(out, b[at:]...), true
		}
		n := 2 + int(binary.BigEndian.Uint16(b[at+2:]))
		if n < 4 || n > len(b)-at {
			return nil, false
		}
		drop := mark == 0xfe || mark >= 0xe1 && mark <= 0xef && mark != 0xe2 && mark != 0xee
		if !drop {
			out = append(out, b[at:at+n]...)
		}
		at += n
	}
}

// stripWebP drops the EXIF and XMP chunks and the flags that announce them.
func stripWebP(b []byte) ([]byte, bool) {
	const header = 12
	if len(b) < header || !bytes.Equal(b[8:12], []byte("WEBP")) {
		return nil, false
	}
	out := append([]byte(nil), b[:header]...)
	for at := header; at < len(b); {
		if len(b)-at < 8 {
			return nil, false
		}
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		n += n & 1 // chunks are padded to even lengths
		if n < 0 || n > len(b)-at-8 {
			return nil, false
		}
		switch string(b[at : at+4]) {
		case "EXIF", "XMP ":
		default:
			from := len(out)
			out = append(out, b[at:at+8+n]...)
			if string(b[at:at+4]) == "VP8X" && n > 0 {
				out[from+8] &^= 0x08 | 0x04
			}
		}
		at += 8 + n
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, true
}
