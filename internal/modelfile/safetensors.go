package modelfile

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
)

// maxHeader bounds the JSON in front of a safetensors file, as its format does.
const maxHeader = 100_000_000

// bitsOf are the types of safetensors and the bits of one number.
var bitsOf = map[string]int64{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"I16": 16, "U16": 16, "F16": 16, "BF16": 16,
	"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

type tensor struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
	name    string
}

// readSafetensors compares what the header promises with the file's size, and
// counts.
func readSafetensors(name string, r io.ReaderAt, size int64) (*Info, error) {
	bad := func(why string) error { return notAModel(name, "its safetensors header "+why, "") }
	var n [8]byte
	if size < 8 {
		return nil, notAModel(name, "it is too short to be safetensors", "")
	}
	if err := readAt(r, n[:], 0); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	length := binary.LittleEndian.Uint64(n[:])
	if length > maxHeader {
		return nil, notAModel(name, "it is not in the safetensors format", "")
	}
	if int64(length) > size-8 {
		return nil, truncated(name, size, int64(length)+8)
	}
	header := make([]byte, length)
	if err := readAt(r, header, 8); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil || raw == nil {
		return nil, bad("cannot be read")
	}
	info := &Info{Format: Safetensors, Bytes: map[string]int64{}}
	var list []tensor
	for key, value := range raw {
		if key == "__metadata__" {
			info.Architecture = architecture(value)
			continue
		}
		t := tensor{name: key}
		if err := json.Unmarshal(value, &t); err != nil || len(t.Offsets) != 2 {
			return nil, bad("cannot be read")
		}
		list = append(list, t)
	}
	end, err := info.count(list)
	if err != nil {
		return nil, bad(err.Error())
	}
	switch want := 8 + int64(length) + end; {
	case size < want:
		return nil, truncated(name, size, want)
	case size > want:
		return nil, notAModel(name, fmt.Sprintf("it has %d bytes more than its safetensors header says", size-want), "")
	}
	return info, nil
}

// architecture is what the writer of the file says that it is.
func architecture(metadata json.RawMessage) string {
	var m map[string]string
	if json.Unmarshal(metadata, &m) != nil {
		return ""
	}
	return cmp.Or(m["modelspec.architecture"], m["ss_base_model_version"])
}

// count sums tensors up, which must lie one after the other without gaps, and
// returns where they end.
func (i *Info) count(list []tensor) (end int64, err error) {
	slices.SortFunc(list, func(a, b tensor) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]), strings.Compare(a.name, b.name))
	})
	for _, t := range list {
		if t.Offsets[0] != end || t.Offsets[1] < end {
			return 0, fmt.Errorf("has a hole or an overlap at %q", t.name)
		}
		n, ok := product(t.Shape)
		if !ok {
			return 0, fmt.Errorf("gives %q an impossible shape", t.name)
		}
		end = t.Offsets[1]
		i.Bytes[t.DType] += end - t.Offsets[0]
		i.Tensors++
		i.Params += n
		width, known := bitsOf[t.DType]
		if !known {
			continue // a type from after this version
		}
		high, low := bits.Mul64(uint64(n), uint64(width))
		if high != 0 || low%8 != 0 || low/8 != uint64(end-t.Offsets[0]) {
			return 0, fmt.Errorf("gives %q %d bytes, its shape needs another number", t.name, end-t.Offsets[0])
		}
	}
	return end, nil
}

var errTooLarge = errors.New("is impossibly large")

func product(shape []int64) (int64, bool) {
	n := uint64(1)
	for _, s := range shape {
		if s < 0 {
			return 0, false
		}
		var high uint64
		if high, n = bits.Mul64(n, uint64(s)); high != 0 || n > 1<<62 {
			return 0, false
		}
	}
	return int64(n), true
}
