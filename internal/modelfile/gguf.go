package modelfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	magicGGUF = "GGUF"
	// maxGGUF bounds what is read in front of the tensors: vocabularies are
	// some megabytes.
	maxGGUF    = 256 << 20
	maxString  = 64 << 20
	maxTensors = 1 << 20
	maxDims    = 8
)

// ggmlType is a type of numbers of GGUF: that many bytes hold that many of them.
type ggmlType struct {
	name         string
	block, bytes int64
}

// ggmlTypes by their number in the file.
var ggmlTypes = map[uint32]ggmlType{
	0: {"F32", 1, 4}, 1: {"F16", 1, 2}, 2: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24},
	8: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 36}, 10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, 12: {"Q4_K", 256, 144},
	13: {"Q5_K", 256, 176}, 14: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292}, 16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74},
	18: {"IQ3_XXS", 256, 98}, 19: {"IQ1_S", 256, 50}, 20: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110}, 22: {"IQ2_S", 256, 82},
	23: {"IQ4_XS", 256, 136}, 24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8}, 28: {"F64", 1, 8},
	29: {"IQ1_M", 256, 56}, 30: {"BF16", 1, 2}, 34: {"TQ1_0", 256, 54}, 35: {"TQ2_0", 256, 66}, 39: {"MXFP4", 32, 17},
}

// Kinds of values in the key-value part.
const (
	kindUint32 = 4
	kindString = 8
	kindArray  = 9
)

// widths of the values of fixed size.
var widths = map[uint32]int64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

var errGGUF = errors.New("its GGUF header cannot be read")

// ggufReader reads the header in order.
type ggufReader struct {
	r   *bufio.Reader
	at  int64
	err error
}

func readGGUF(name string, r io.ReaderAt, size int64) (*Info, error) {
	g := &ggufReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, min(size, maxGGUF)), 64<<10)}
	if string(g.bytes(4)) != magicGGUF {
		if g.err != nil && !errors.Is(g.err, io.EOF) {
			return nil, fmt.Errorf("reading %s: %w", name, g.err)
		}
		return nil, notAModel(name, "a GGUF file begins with GGUF", "")
	}
	info := &Info{Format: GGUF, Bytes: map[string]int64{}}
	end, err := g.read(info)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		if size >= maxGGUF {
			return nil, notAModel(name, errGGUF.Error(), "")
		}
		return nil, truncated(name, size, size+1)
	case errors.Is(err, errGGUF) || errors.Is(err, errTooLarge):
		return nil, notAModel(name, err.Error(), "")
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case size < end:
		return nil, truncated(name, size, end)
	}
	return info, nil
}

// read takes all that stands before the tensors, and returns where these end.
func (g *ggufReader) read(info *Info) (end int64, err error) {
	version, tensors, pairs := g.u32(), g.u64(), g.u64()
	if g.err == nil && (version < 2 || version > 3 || tensors > maxTensors || pairs > maxTensors) {
		return 0, errGGUF
	}
	align := int64(32)
	for range pairs {
		key, kind := g.string(), g.u32()
		switch {
		case key == "general.alignment" && kind == kindUint32:
			align = int64(g.u32())
		case key == "general.architecture" && kind == kindString:
			info.Architecture = g.string()
		default:
			g.skip(kind, 0)
		}
		if g.err != nil {
			return 0, g.err
		}
	}
	if align <= 0 || align&(align-1) != 0 || align > 1<<20 {
		return 0, errGGUF
	}
	var last int64
	for range tensors {
		stop, err := g.tensor(info)
		if err != nil {
			return 0, err
		}
		last = max(last, stop)
	}
	begin := (g.at + align - 1) / align * align
	if begin+last < begin {
		return 0, errTooLarge
	}
	return begin + last, g.err
}

// tensor takes one description and returns where its numbers end, from where
// all tensors begin.
func (g *ggufReader) tensor(info *Info) (int64, error) {
	g.string()
	dims := g.u32()
	if g.err == nil && dims > maxDims {
		return 0, errGGUF
	}
	shape := make([]int64, 0, maxDims)
	for range dims {
		shape = append(shape, int64(g.u64()))
	}
	kind, offset := g.u32(), g.u64()
	if g.err != nil {
		return 0, g.err
	}
	n, ok := product(shape)
	if !ok || offset > 1<<62 {
		return 0, errTooLarge
	}
	info.Tensors++
	info.Params += n
	t, known := ggmlTypes[kind]
	if !known {
		info.Bytes[fmt.Sprintf("type %d", kind)] += 0
		return int64(offset), nil // a type from after this version
	}
	high, low := bits.Mul64(uint64((n+t.block-1)/t.block), uint64(t.bytes))
	if high != 0 || low > 1<<62 {
		return 0, errTooLarge
	}
	info.Bytes[t.name] += int64(low)
	return int64(offset) + int64(low), nil
}

func (g *ggufReader) bytes(n int64) []byte {
	if g.err != nil {
		return nil
	}
	b := make([]byte, n)
	var got int
	got, g.err = io.ReadFull(g.r, b)
	g.at += int64(got)
	return b
}

func (g *ggufReader) u32() uint32 {
	if b := g.bytes(4); g.err == nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (g *ggufReader) u64() uint64 {
	if b := g.bytes(8); g.err == nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// string reads one; a long one is passed over.
func (g *ggufReader) string() string {
	n := g.u64()
	switch {
	case g.err != nil:
	case n > maxString:
		g.err = errGGUF
	case n > 4096:
		g.discard(int64(n))
	default:
		return string(g.bytes(int64(n)))
	}
	return ""
}

func (g *ggufReader) discard(n int64) {
	for n > 0 && g.err == nil {
		var got int
		got, g.err = g.r.Discard(int(min(n, 1<<20)))
		g.at += int64(got)
		n -= int64(got)
	}
}

// skip passes over a value.
func (g *ggufReader) skip(kind uint32, depth int) {
	width, fixed := widths[kind]
	switch {
	case g.err != nil:
	case fixed:
		g.discard(width)
	case kind == kindString:
		g.string()
	case kind == kindArray && depth < 4:
		of, n := g.u32(), g.u64()
		width, fixed := widths[of]
		switch {
		case g.err != nil:
		case n > maxGGUF:
			g.err = errGGUF
		case fixed:
			g.discard(int64(n) * width)
		default:
			for range n {
				if g.skip(of, depth+1); g.err != nil {
					return
				}
			}
		}
	default:
		g.err = errGGUF
	}
}
