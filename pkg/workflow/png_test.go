package workflow

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// picture is a PNG with the given chunks, name and data in turn.
func picture(chunks ...string) []byte {
	var b bytes.Buffer
	b.Write(pngSignature)
	for i := 0; i < len(chunks); i += 2 {
		body := []byte(chunks[i] + chunks[i+1])
		_ = binary.Write(&b, binary.BigEndian, uint32(len(chunks[i+1]))) // a Buffer takes everything
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	return b.Bytes()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s)) // a Buffer takes everything
	_ = z.Close()
	return b.String()
}

func TestPNG(t *testing.T) {
	const head = "\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00"
	for _, tc := range []struct {
		name string
		png  []byte
		want []string // findings; none means that the graph is read
	}{
		{"tEXt", picture("IHDR", head, "tEXt", "prompt\x00"+small, "IEND", ""), nil},
		{"zTXt", picture("IHDR", head, "zTXt", "prompt\x00\x00"+deflated(small), "IEND", ""), nil},
		{"iTXt", picture("IHDR", head, "iTXt", "prompt\x00\x00\x00\x00\x00"+small, "IEND", ""), nil},
		{"packed iTXt", picture("IHDR", head, "iTXt", "prompt\x00\x01\x00en\x00x\x00"+deflated(small), "IEND", ""), nil},
		{"cut off behind it", picture("IHDR", head, "tEXt", "prompt\x00"+small, "IDAT", "xxxx")[:len(picture("IHDR", head, "tEXt", "prompt\x00"+small))+6], nil},
		{"only the editor's save", picture("IHDR", head, "tEXt", "workflow\x00{}", "IEND", ""),
			[]string{"CW002 0:0-0:0 this picture holds ComfyUI's editor save, not the API export"}},
		{"nothing", picture("IHDR", head, "IEND", ""), []string{"CW001 0:0-0:0 this picture holds no workflow"}},
		{"cut off", picture("IHDR", head)[:20], []string{"CW001 0:0-0:0 this picture cannot be read"}},
		{"bad packing", picture("IHDR", head, "zTXt", "prompt\x00\x00xx", "IEND", ""), []string{"CW001 0:0-0:0 this picture cannot be read"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, list := Parse("p.png", tc.png)
			if tc.want == nil && (g == nil || g.Node("3") == nil && g.Node("1:7") == nil) {
				t.Fatalf("no graph: %q", found(list))
			}
			if diff := cmp.Diff(tc.want, found(list)); tc.want != nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzPNGText(f *testing.F) {
	f.Add(picture("IHDR", "x", "iTXt", "prompt\x00\x01\x00en\x00x\x00"+deflated("{}"), "IEND", ""))
	f.Add(picture("zTXt", "prompt\x00\x00"+deflated("{}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := PNGText(b); err == nil && !IsPNG(b) {
			t.Fatal("read what is no PNG")
		}
	})
}
