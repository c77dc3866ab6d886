package outputs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errCut means that a file ends before it should: the engine died while it
// wrote it, or the disk was full.
var errCut = errors.New("the file is cut off")

// whole reports whether a file of a kind is all there, as far as its own
// structure tells: an empty file never is.
func whole(f io.ReaderAt, kind Kind, size int64) error {
	if size == 0 {
		return fmt.Errorf("%w: it is empty", errCut)
	}
	read := func(at, n int64) []byte {
		b := make([]byte, n)
		got, _ := f.ReadAt(b, max(at, 0))
		return b[:got]
	}
	ok := true
	switch kind.ContentType {
	case "image/png":
		ok = bytes.Contains(read(size-64, 64), []byte("IEND"))
	case "image/jpeg":
		// Cameras and editors append things after the end mark.
		ok = bytes.Contains(read(size-64<<10, 64<<10), []byte("\xff\xd9"))
	case "image/gif":
		ok = bytes.HasSuffix(bytes.TrimRight(read(size-16, 16), "\x00"), []byte{0x3b})
	case "image/webp", "audio/wav":
		if head := read(0, 8); len(head) == 8 {
			ok = int64(binary.LittleEndian.Uint32(head[4:]))+8 <= size
		}
	case "video/mp4", "video/quicktime", "audio/mp4":
		ok = boxes(read, size)
	}
	if !ok {
		return errCut
	}
	return nil
}

// boxes reports whether the boxes of an ISO media file fill it, and the index
// is among them.
func boxes(read func(at, n int64) []byte, size int64) bool {
	index := false
	for at := int64(0); at < size; {
		head := read(at, 16)
		if len(head) < 8 {
			return false
		}
		n := int64(binary.BigEndian.Uint32(head))
		switch {
		case n == 0: // to the end
			n = size - at
		case n == 1 && len(head) == 16:
			n = int64(binary.BigEndian.Uint64(head[8:])) //nolint:gosec // a negative length fails below
		}
		if n < 8 || n > size-at {
			return false
		}
		kind := string(head[4:8])
		index = index || kind == "moov" || kind == "moof"
		at += n
	}
	return index
}
