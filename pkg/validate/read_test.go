package validate

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comfyctl/comfyctl/internal/diag"
)

const editorSave = `{"last_node_id": 2, "last_link_id": 1, "version": 0.4, "links": [[1, 1, 0, 2, 0, "IMAGE"]], "nodes": [
  {"id": 1, "type": "EmptyImage", "mode": 0, "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}], "widgets_values": [64, 64, 99999, 255]},
  {"id": 2, "type": "SaveImage", "mode": 0, "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "outputs": [], "widgets_values": ["x"]}]}`

// TestLoadForms loads a service whose workflow is an editor save, or a picture
// that holds one: the graph is converted, and a finding lies in the text.
func TestLoadForms(t *testing.T) {
	chunk := func(name, data string) string {
		body := name + data
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)))) + body + string(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(body))))
	}
	for name, file := range map[string]string{
		"save.json":   editorSave,
		"picture.png": "\x89PNG\r\n\x1a\n" + chunk("IHDR", "x") + chunk("tEXt", "workflow\x00"+editorSave) + chunk("IEND", ""),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for n, text := range map[string]string{"comfyctl.yaml": "name: a\nworkflow: " + name + "\ncomfyui: v0.30.2\n", name: file} {
				if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, list, err := Load(context.Background(), Options{Dir: dir, File: "comfyctl.yaml", Stub: true})
			if err != nil || len(p.Workflows) != 1 {
				t.Fatalf("%v %v", list, err)
			}
			if got := string(p.Workflows[0].Graph.JSON()); !strings.Contains(got, `"images":["1",0]`) {
				t.Error(got)
			}
			var found *diag.Diagnostic
			for i := range list {
				if list[i].Code == "CW104" {
					found = &list[i]
				}
			}
			if found == nil {
				t.Fatalf("no CW104 in %v", list)
			}
			text := p.Source(found.File)
			if got := text[found.Start.Offset:found.End.Offset]; !bytes.Equal(got, []byte("99999")) || found.Start.Line != 2 {
				t.Errorf("the finding is at %q: %+v", got, found.Span)
			}
		})
	}
}
