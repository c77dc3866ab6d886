package media

import (
	"encoding/binary"
	"strings"
)

// box is a part of an ISO media file: the four letters and where its content
// lies.
type box struct {
	name       string
	start, end int64
}

// boxes calls each for the boxes in a range.
func (f *file) boxes(start, end int64, each func(box) error) error {
	for pos := start; pos+8 <= end; {
		head, err := f.bytes(pos, 8)
		if err != nil {
			return err
		}
		size, inner := int64(binary.BigEndian.Uint32(head)), pos+8
		switch size {
		case 0:
			size = end - pos
		case 1:
			long, err := f.bytes(pos+8, 8)
			if err != nil {
				return err
			}
			size, inner = int64(binary.BigEndian.Uint64(long)), pos+16 //nolint:gosec // a size that overflows is refused below
		}
		if size < inner-pos || size > end-pos {
			return errCut
		}
		if err := each(box{string(head[4:8]), inner, pos + size}); err != nil {
			return err
		}
		pos += size
	}
	return nil
}

// mp4 reads the metadata of MP4 and QuickTime files: moov → udta and meta.
func (f *file) mp4() error {
	return f.boxes(0, f.size, func(b box) error {
		if b.name != "moov" {
			return nil
		}
		return f.boxes(b.start, b.end, f.movie)
	})
}

func (f *file) movie(b box) error {
	switch b.name {
	case "udta":
		return f.boxes(b.start, b.end, f.userData)
	case "meta":
		return f.meta(b)
	}
	return nil
}

func (f *file) userData(b box) error {
	switch {
	case b.name == "meta":
		return f.meta(b)
	case strings.HasPrefix(b.name, "\xa9") && b.end-b.start > 4:
		text, err := f.bytes(b.start+4, b.end-b.start-4) // behind length and language
		if err != nil {
			return err
		}
		f.take("metadata", "comment", text)
	}
	return nil
}

// meta reads keys and values. ISO files have four bytes before the boxes,
// QuickTime has none.
func (f *file) meta(b box) error {
	start := b.start
	head, err := f.bytes(start, min(8, b.end-start))
	if err != nil {
		return err
	}
	if len(head) == 8 && binary.BigEndian.Uint32(head) == 0 {
		start += 4
	}
	var keys []string
	return f.boxes(start, b.end, func(b box) error {
		switch b.name {
		case "keys":
			if keys, err = f.keys(b); err != nil {
				return err
			}
		case "ilst":
			return f.boxes(b.start, b.end, func(item box) error { return f.item(item, keys) })
		}
		return nil
	})
}

// keys reads the names that values refer to by number.
func (f *file) keys(b box) ([]string, error) {
	data, err := f.bytes(b.start, b.end-b.start)
	if err != nil {
		return nil, err
	}
	if len(data) < 8 {
		return nil, errCut
	}
	var keys []string
	for data = data[8:]; len(data) >= 8; {
		size := int64(binary.BigEndian.Uint32(data))
		if size < 8 || size > int64(len(data)) {
			return keys, errCut
		}
		keys = append(keys, string(data[8:size]))
		data = data[size:]
	}
	return keys, nil
}

// item reads one value: by the number of its key, by a name of its own, or by
// four letters such as those of a comment.
func (f *file) item(b box, keys []string) error {
	name := "comment"
	if n := binary.BigEndian.Uint32([]byte(b.name)); n >= 1 && int64(n) <= int64(len(keys)) {
		name = keys[n-1]
	}
	return f.boxes(b.start, b.end, func(part box) error {
		if part.name != "name" && part.name != "data" {
			return nil
		}
		data, err := f.bytes(part.start, part.end-part.start)
		if err != nil {
			return err
		}
		switch {
		case part.name == "name" && len(data) > 4:
			name = string(data[4:])
		case part.name == "data" && len(data) > 8:
			f.take("metadata", name, data[8:])
		}
		return nil
	})
}
