package stub

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// FuzzPrompt feeds the parser and the validator: whatever comes, the answer is
// a verdict, and what was parsed is written and parsed to the same again.
func FuzzPrompt(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("../../../../../shared/recorded/comfyui-0.3.64/transcripts", "*.json"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b)
		}
	}
	for _, s := range []string{`{"prompt": {}}`, `[]`, `NaN`, `{"1": {"class_type": "SaveImage", "inputs": {"images": ["1", -1]}}}`,
		`{"1": {"class_type": "EmptyImage", "inputs": {"width": 1e999, "height": NaN, "batch_size": "1_0", "color": true}}}`} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	if err := makeFolders(dir); err != nil {
		f.Fatal(err)
	}
	var cores []*core
	for _, v := range catalog.Versions() {
		cat, err := catalog.For(v)
		if err != nil {
			f.Fatal(err)
		}
		cores = append(cores, newCore(Options{Dir: dir, Version: v}, cat))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseJSON(b)
		if err != nil {
			return
		}
		text := dump(v)
		again, err := parseJSON(text)
		if err != nil {
			t.Fatalf("%v in what was written: %s", err, text)
		}
		if !bytes.Equal(text, dump(again)) {
			t.Fatalf("%s became %s", text, dump(again))
		}
		o, ok := v.(*object)
		if !ok {
			return
		}
		if p, ok := o.values["prompt"].(*object); ok {
			o = p
		}
		for _, c := range cores {
			p := copyValue(o).(*object)
			verdict, err := c.validate(p, obj())
			if err == nil && verdict.err == nil && len(verdict.good) == 0 {
				t.Fatal("neither refused nor good")
			}
			if err == nil {
				dump(verdict.nodes)
			}
		}
	})
}

// FuzzFiles feeds the readers of uploaded files.
func FuzzFiles(f *testing.F) {
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x44\xac\x00\x00\x00\x00\x00\x00\x02\x00\x10\x00data\x02\x00\x00\x00\x01\x02"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x08Exif\x00\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		decodeWAV(b)
		readTensor(b, "latent_tensor")
		orientation(b)
	})
}
