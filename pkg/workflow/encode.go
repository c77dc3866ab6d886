package workflow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// JSON writes the graph as ComfyUI should get it: every node has class_type,
// inputs and _meta.title (ComfyUI can die without the second and answer 500
// without the third), NaN and the infinities are null, keys that ComfyUI ignores
// are gone, numbers keep their digits, order is that of the file.
func (g *Graph) JSON() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, n := range g.Nodes {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(&b, n.ID)
		b.WriteString(`:{"class_type":`)
		writeString(&b, n.Class)
		b.WriteString(`,"inputs":`)
		writeInputs(&b, n.Inputs)
		b.WriteString(`,"_meta":{"title":`)
		title := n.Title
		if title == "" {
			title = n.Class
		}
		writeString(&b, title)
		b.WriteString("}}")
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Version names the graph by what it runs: the first 12 hex digits of the
// SHA-256 over ids, classes and inputs in sorted order. Layout, titles and the
// order of keys do not change it.
func (g *Graph) Version() string {
	nodes := slices.Clone(g.Nodes)
	slices.SortFunc(nodes, func(a, b *Node) int { return strings.Compare(a.ID, b.ID) })
	var b bytes.Buffer
	for _, n := range nodes {
		writeString(&b, n.ID)
		writeString(&b, n.Class)
		inputs := slices.Clone(n.Inputs)
		slices.SortFunc(inputs, func(x, y *Input) int { return strings.Compare(x.Name, y.Name) })
		writeInputs(&b, inputs)
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])[:12]
}

func writeInputs(b *bytes.Buffer, inputs []*Input) {
	b.WriteByte('{')
	for i, in := range inputs {
		if i > 0 {
			b.WriteByte(',')
		}
		writeString(b, in.Name)
		b.WriteByte(':')
		writeClean(b, in.Raw, in.Kind)
	}
	b.WriteByte('}')
}

// writeClean writes one value without white space and with null for numbers
// that JSON does not have.
func writeClean(b *bytes.Buffer, raw []byte, k Kind) {
	switch k {
	case NonFinite:
		b.WriteString("null")
	case Array, Object:
		v, _, err := jsonpos.Scan(raw, 0)
		if err == nil {
			writeValue(b, raw, &v)
		}
	default:
		b.Write(raw)
	}
}

func writeValue(b *bytes.Buffer, src []byte, v *jsonpos.Value) {
	switch v.Kind {
	case jsonpos.NonFinite:
		b.WriteString("null")
	case jsonpos.Array:
		b.WriteByte('[')
		for i := range v.Elems {
			if i > 0 {
				b.WriteByte(',')
			}
			writeValue(b, src, &v.Elems[i])
		}
		b.WriteByte(']')
	case jsonpos.Object:
		b.WriteByte('{')
		for i := range v.Members {
			if i > 0 {
				b.WriteByte(',')
			}
			m := &v.Members[i]
			b.Write(src[m.KeyStart:m.KeyEnd])
			b.WriteByte(':')
			writeValue(b, src, &m.Val)
		}
		b.WriteByte('}')
	default:
		b.Write(src[v.Start:v.End])
	}
}

// writeString writes a JSON string without the HTML escapes of encoding/json.
func writeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	b.Truncate(b.Len() - 1)
}
