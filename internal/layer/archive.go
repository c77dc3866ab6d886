package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"time"
)

// Archive is a tar whose headers are written and whose files are not yet read.
type Archive struct {
	parts []part
	size  int64
	count int
}

// part is a piece of the tar: bytes, or a file between them.
type part struct {
	bytes []byte
	name  string
	size  int64
	open  func() (io.ReadCloser, error)
}

// endOfArchive is two empty blocks.
const (
	block        = 512
	endOfArchive = 2 * block
)

// NewArchive plans the tar of the entries. No file is opened.
func NewArchive(entries []Entry) (*Archive, error) {
	list, err := arrange(entries)
	if err != nil {
		return nil, err
	}
	a := &Archive{count: len(list)}
	var buf bytes.Buffer
	for _, e := range list {
		// A writer of its own for each header: one that has begun a file wants
		// the content next, which is not read here.
		if err := tar.NewWriter(&buf).WriteHeader(header(e)); err != nil {
			return nil, fmt.Errorf("packing /%s: %w", e.Name, err)
		}
		if e.Dir || e.Link != "" || e.Size == 0 {
			continue
		}
		a.add(part{bytes: bytes.Clone(buf.Bytes())})
		buf.Reset()
		a.add(part{name: e.Name, size: e.Size, open: e.Open})
		buf.Write(make([]byte, padding(e.Size)))
	}
	buf.Write(make([]byte, endOfArchive))
	a.add(part{bytes: bytes.Clone(buf.Bytes())})
	return a, nil
}

func (a *Archive) add(p part) {
	if p.open == nil {
		p.size = int64(len(p.bytes))
	}
	a.parts = append(a.parts, p)
	a.size += p.size
}

func header(e Entry) *tar.Header {
	h := &tar.Header{Name: e.Name, Mode: int64(e.Mode), ModTime: time.Unix(0, 0), Size: e.Size, Typeflag: tar.TypeReg}
	switch {
	case e.Dir:
		h.Typeflag, h.Name, h.Size = tar.TypeDir, e.Name+"/", 0
	case e.Link != "":
		h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.Link, 0
	}
	return h
}

func padding(size int64) int64 { return (block - size%block) % block }

// Size is the length of the tar in bytes.
func (a *Archive) Size() int64 { return a.size }

// Entries is the number of files, folders and links in it.
func (a *Archive) Entries() int { return a.count }

// Reader streams the tar, opening one file at a time. A file that has another
// size by now is an error.
func (a *Archive) Reader() io.ReadCloser { return &reader{parts: a.parts} }

// ReaderAt streams the tar from an offset in bytes on; files before it are not
// opened.
func (a *Archive) ReaderAt(offset int64) (io.ReadCloser, error) {
	if offset < 0 || offset > a.size {
		return nil, fmt.Errorf("reading a layer: there is no byte %d in its %d", offset, a.size)
	}
	r := &reader{parts: a.parts}
	for len(r.parts) > 0 && offset >= r.parts[0].size {
		offset -= r.parts[0].size
		r.parts = r.parts[1:]
	}
	if offset == 0 {
		return r, nil
	}
	if err := r.next(); err != nil {
		return nil, err
	}
	if err := skip(r.cur, offset); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("packing /%s: %w", r.parts[0].name, err)
	}
	r.left -= offset
	return r, nil
}

// skip moves n bytes on, without reading them where that is possible.
func skip(r io.Reader, n int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekCurrent)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	return err
}

type reader struct {
	parts []part
	cur   io.Reader
	close io.Closer
	left  int64
}

// Read gives the next bytes of the tar.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.cur == nil {
			if len(r.parts) == 0 {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, err
			}
		}
		n, err := r.cur.Read(p[:min(int64(len(p)), max(r.left, 1))])
		if int64(n) > r.left {
			return 0, r.changed()
		}
		r.left -= int64(n)
		if err == io.EOF { //nolint:errorlint // io.Reader's contract
			if r.left > 0 {
				return n, r.changed()
			}
			if err := r.done(); err != nil {
				return n, err
			}
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (r *reader) changed() error {
	return fmt.Errorf("packing /%s: the file changed while it was read", r.parts[0].name)
}

func (r *reader) next() error {
	p := r.parts[0]
	r.left = p.size
	if p.open == nil {
		r.cur = bytes.NewReader(p.bytes)
		return nil
	}
	f, err := p.open()
	if err != nil {
		return fmt.Errorf("packing /%s: %w", p.name, err)
	}
	r.cur, r.close = f, f
	return nil
}

func (r *reader) done() error {
	r.parts, r.cur = r.parts[1:], nil
	return r.Close()
}

// Close closes the file that is being read.
func (r *reader) Close() error {
	if r.close == nil {
		return nil
	}
	c := r.close
	r.close = nil
	return c.Close()
}
