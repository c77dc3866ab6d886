package media

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// flac reads the comment block of a FLAC file.
func (f *file) flac() error {
	for pos := int64(4); ; {
		head, err := f.bytes(pos, 4)
		if err != nil {
			return err
		}
		size := int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
		if head[0]&0x7f == 4 {
			data, err := f.bytes(pos+4, size)
			if err != nil {
				return err
			}
			return f.comments(data)
		}
		if head[0]&0x80 != 0 {
			return nil
		}
		pos += 4 + size
	}
}

// comments reads a Vorbis comment block: NAME=text.
func (f *file) comments(b []byte) error {
	next := func() ([]byte, bool) {
		if len(b) < 4 {
			return nil, false
		}
		n := binary.LittleEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-4) {
			return nil, false
		}
		text := b[4 : 4+n]
		b = b[4+n:]
		return text, true
	}
	if _, ok := next(); !ok { // who wrote it
		return errCut
	}
	if len(b) < 4 {
		return errCut
	}
	count := binary.LittleEndian.Uint32(b)
	b = b[4:]
	for range count {
		text, ok := next()
		if !ok {
			return errCut
		}
		if name, value, ok := bytes.Cut(text, []byte("=")); ok {
			f.take("comment", string(name), value)
		}
	}
	return nil
}

// ogg reads the second packet of an Opus or Vorbis stream, which holds the
// comments.
func (f *file) ogg() error {
	var packet []byte
	packets := 0
	for pos := int64(0); ; {
		head, err := f.bytes(pos, 27)
		if err != nil {
			return err
		}
		if string(head[:4]) != "OggS" {
			return errors.New("no page where one should be")
		}
		segments, err := f.bytes(pos+27, int64(head[26]))
		if err != nil {
			return err
		}
		data := pos + 27 + int64(len(segments))
		for _, n := range segments {
			if packets == 1 {
				part, err := f.bytes(data, int64(n))
				if err != nil {
					return err
				}
				if len(packet)+len(part) > MaxText {
					return errLarge
				}
				packet = append(packet, part...)
			}
			data += int64(n)
			if n < 255 {
				packets++
			}
			if packets == 2 {
				return f.oggComments(packet)
			}
		}
		pos = data
	}
}

func (f *file) oggComments(packet []byte) error {
	for _, head := range []string{"OpusTags", "\x03vorbis"} {
		if rest, ok := bytes.CutPrefix(packet, []byte(head)); ok {
			return f.comments(rest)
		}
	}
	return nil
}

// id3 reads the text frames in front of an MP3.
func (f *file) id3() error {
	head, err := f.bytes(0, 10)
	if err != nil {
		return err
	}
	version, flags := head[3], head[5]
	data, err := f.bytes(10, min(syncsafe(head[6:]), f.size-10))
	if err != nil {
		return err
	}
	if flags&0x80 != 0 {
		data = bytes.ReplaceAll(data, []byte{0xff, 0}, []byte{0xff})
	}
	if flags&0x40 != 0 && len(data) >= 4 { // an extended header
		skip := int64(binary.BigEndian.Uint32(data)) + 4
		if version == 4 {
			skip = syncsafe(data)
		}
		data = data[min(max(skip, 0), int64(len(data))):]
	}
	for len(data) >= 10 && data[0] != 0 {
		size := int64(binary.BigEndian.Uint32(data[4:]))
		if version == 4 {
			size = syncsafe(data[4:])
		}
		if size > int64(len(data)-10) {
			return errCut
		}
		f.frame(string(data[:4]), data[10:10+size])
		data = data[10+size:]
	}
	return nil
}

func syncsafe(b []byte) int64 {
	return int64(b[0]&0x7f)<<21 | int64(b[1]&0x7f)<<14 | int64(b[2]&0x7f)<<7 | int64(b[3]&0x7f)
}

// frame reads a text with a name (TXXX) or a comment (COMM).
func (f *file) frame(name string, b []byte) {
	if name != "TXXX" && name != "COMM" || len(b) < 1 {
		return
	}
	encoding, b := b[0], b[1:]
	if name == "COMM" {
		if len(b) < 3 {
			return
		}
		b = b[3:] // language
	}
	end := []byte{0}
	if encoding == 1 || encoding == 2 {
		end = []byte{0, 0}
	}
	at := bytes.Index(b, end)
	if len(end) == 2 {
		for at >= 0 && at%2 == 1 { // half of one letter and half of the next
			more := bytes.Index(b[at+1:], end)
			if more < 0 {
				at = -1
				break
			}
			at += 1 + more
		}
	}
	if at < 0 {
		return
	}
	key, text := decode(encoding, b[:at]), decode(encoding, b[at+len(end):])
	if name == "COMM" {
		key = []byte("comment")
	}
	f.take("ID3 frame", string(key), text)
}

func decode(encoding byte, b []byte) []byte {
	switch encoding {
	case 0:
		return latin1(b)
	case 1:
		return fromUTF16(b, binary.LittleEndian)
	case 2:
		return fromUTF16(b, binary.BigEndian)
	}
	return b
}
