package workflow

import (
	"bytes"
	"hash/crc32"
	"strings"
	"testing"

	"encoding/binary"

	"github.com/google/go-cmp/cmp"
)

// picture is a PNG with the given chunks, name and data in turn.
func picture(chunks ...string) []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	for i := 0; i < len(chunks); i += 2 {
		body := []byte(chunks[i] + chunks[i+1])
		_ = binary.Write(&b, binary.BigEndian, uint32(len(chunks[i+1]))) // a Buffer takes everything
		b.Write(body)
		_ = binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	return b.Bytes()
}

func TestPictures(t *testing.T) {
	const head = "\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00"
	for _, tc := range []struct {
		name string
		png  []byte
		want []string // findings; none means that the graph is read
	}{
		{"prompt", picture("IHDR", head, "tEXt", "prompt\x00"+small, "IEND", ""), nil},
		{"both", picture("IHDR", head, "tEXt", "workflow\x00{\"nodes\":[]}", "tEXt", "prompt\x00"+small, "IEND", ""), nil},
		{"only the editor's save", picture("IHDR", head, "tEXt", "workflow\x00{\"nodes\":[]}", "IEND", ""),
			[]string{"CW002 1:1-1:2 this is ComfyUI's editor save, not the API export"}},
		{"nothing", picture("IHDR", head, "IEND", ""), []string{"CW001 0:0-0:0 this PNG file holds no workflow"}},
		{"settings of another program", picture("IHDR", head, "tEXt", "parameters\x00Steps: 20", "IEND", ""), []string{"CW001 0:0-0:0 this PNG file holds no workflow"}},
		{"cut off", picture("IHDR", head)[:20], []string{"CW001 0:0-0:0 this PNG file cannot be read"}},
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

func TestText(t *testing.T) {
	png := picture("tEXt", "prompt\x00"+small, "IEND", "")
	text, origin, d, err := Text("p.png", bytes.NewReader(png), int64(len(png)))
	if err != nil || d != nil || string(text) != small || origin != `PNG: text chunk "prompt"` {
		t.Errorf("%q, %q, %v, %v", text, origin, d, err)
	}
	text, origin, d, err = Text("w.json", strings.NewReader(small), int64(len(small)))
	if err != nil || d != nil || string(text) != small || origin != "" {
		t.Errorf("%q, %q, %v, %v", text, origin, d, err)
	}
	if _, _, d, err = Text("w.json", strings.NewReader(small), MaxFile+1); err != nil || d == nil || d.Message != "the file is too large for a workflow" {
		t.Errorf("%v, %v", d, err)
	}
}
