package modelfile

import (
	"bufio"
	"bytes"
	_ "embed" // the list of globals
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/comfyctl/comfyctl/internal/diag"
)

//go:embed globals.txt
var globalsText string

// allowed are the globals that a pickle may name: what tensors and the layers
// of common detectors are rebuilt from, none of which reads files, opens
// connections or runs code of the caller's choice.
var allowed = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(globalsText) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		for i := 1; i < len(fields); i++ {
			out[fields[0]+" "+fields[i]] = true
		}
	}
	return out
})

var (
	magicZip = []byte("PK\x03\x04")
	// magicTorch is the number that files of torch before 1.6 begin with, as a
	// pickle of its own, in protocols 2 and up.
	magicTorch = []byte{0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'}
	// magicPickle begins protocols 2 and up; the next byte is the number.
	magicPickle byte = 0x80
)

// looksPickled recognises the containers of pickles by content, whatever they
// are called.
func looksPickled(head []byte) bool {
	return bytes.HasPrefix(head, magicZip) || len(head) > 2 && head[0] == magicPickle && head[1] >= 2 && head[1] <= 5
}

// readPickle looks for what loading the file would call. Only a file whose
// every byte is accounted for, and that names nothing outside the list, passes.
func readPickle(name string, r io.ReaderAt, size int64) (*Info, error) {
	head := make([]byte, min(size, 4))
	if err := readAt(r, head, 0); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var found map[string]bool
	var err error
	if bytes.HasPrefix(head, magicZip) {
		found, err = scanZip(r, size)
	} else {
		found, err = scanStream(r, size)
	}
	var bad *badPickle
	if errors.As(err, &bad) {
		return nil, refused(name, bad.why)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	info := &Info{Format: Pickle, Globals: slices.Sorted(maps.Keys(found))}
	var foreign []string
	for i, g := range info.Globals {
		if !allowed()[g] {
			foreign = append(foreign, strings.ReplaceAll(g, " ", "."))
		}
		info.Globals[i] = strings.ReplaceAll(g, " ", ".")
	}
	if len(foreign) > 0 {
		if len(foreign) > 5 {
			foreign = append(foreign[:5], fmt.Sprintf("%d more", len(foreign)-5))
		}
		return nil, refused(name, "loading it would call "+strings.Join(foreign, ", "))
	}
	return info, nil
}

func refused(name, why string) error {
	return &diag.Error{Code: "pickle_refused", Class: diag.ClassCheck, Message: fmt.Sprintf("%s is a pickle that is not safe to load: %s", name, why),
		Help: "use a .safetensors file of the same model, or convert it on a machine that may be lost"}
}

// badPickle is a pickle that cannot be followed to its end.
type badPickle struct{ why string }

func (b *badPickle) Error() string { return b.why }

func badf(format string, args ...any) error { return &badPickle{why: fmt.Sprintf(format, args...)} }

// scanStream reads a file that is a pickle, or several in a row as torch wrote
// them before 1.6: the magic number, a protocol, facts about the machine, the
// object, the keys of its storages, and then their bytes.
func scanStream(r io.ReaderAt, size int64) (map[string]bool, error) {
	found := map[string]bool{}
	in := &counter{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)}
	start := make([]byte, min(size, tarBlock))
	if err := readAt(r, start, 0); err != nil {
		return nil, err
	}
	if isTar(start) {
		return nil, badf("it is a tar archive too")
	}
	pickles := 0
	if legacy(start) {
		pickles = 5
	}
	for n := 1; ; n++ {
		if err := walk(in, found); err != nil {
			return nil, err
		}
		if n == pickles {
			return found, nil
		}
		if in.at == size {
			if pickles > 0 {
				return nil, badf("it ends before its tensors")
			}
			return found, nil
		}
		if pickles == 0 {
			return nil, badf("more follows its end")
		}
	}
}

const tarBlock = 512

// isTar reports whether a file may be read as a tar, which torch tries before
// it looks for a pickle: the sum of the header is where it has to be, in one of
// the spellings that Python's tarfile accepts.
func isTar(head []byte) bool {
	if len(head) < tarBlock {
		return false
	}
	var unsigned, signed int64
	for i, b := range head {
		if i >= 148 && i < 156 {
			b = ' '
		}
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	field := head[148:156]
	if field[0] == 0x80 {
		want := int64(binary.BigEndian.Uint64(append([]byte{0}, field[1:]...)))
		return want == unsigned || want == signed
	}
	field, _, _ = bytes.Cut(field, []byte{0})
	digits := strings.NewReplacer("_", "", "+", "", "0o", "", "0O", "").Replace(strings.TrimSpace(string(field)))
	want, err := strconv.ParseInt(digits, 8, 64)
	return err == nil && (want == unsigned || want == signed)
}

// legacy reports whether a stream begins as torch wrote it before 1.6.
func legacy(start []byte) bool {
	return len(start) > 2 && start[0] == magicPickle && bytes.HasPrefix(start[2:], magicTorch)
}

// counter counts the bytes that were read.
type counter struct {
	r  *bufio.Reader
	at int64
}

func (c *counter) byte() (byte, error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return 0, ends(err)
	}
	c.at++
	return b, nil
}

// take reads n bytes, which must be few.
func (c *counter) take(n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := io.ReadFull(c.r, b)
	c.at += int64(got)
	return b, ends(err)
}

func (c *counter) skip(n uint64) error {
	for n > 0 {
		got, err := c.r.Discard(int(min(n, 1<<20)))
		c.at += int64(got)
		n -= uint64(got)
		if err != nil {
			return ends(err)
		}
	}
	return nil
}

// line reads up to the end of the line.
func (c *counter) line() (string, error) {
	b, err := c.r.ReadSlice('\n')
	c.at += int64(len(b))
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", badf("it has a line of more than %d bytes", len(b))
	}
	if err != nil {
		return "", ends(err)
	}
	return string(b[:len(b)-1]), nil
}

func ends(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badf("it is no pickle, or is cut short")
	}
	return err
}
