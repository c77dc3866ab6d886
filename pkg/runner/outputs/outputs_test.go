package outputs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/HugoSmits86/nativewebp"
	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// shelf is an engine that only has files.
type shelf map[string][]byte

func (s shelf) Open(_ context.Context, f engine.File) (io.ReadCloser, error) {
	b, ok := s[f.Subfolder+"/"+f.Name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
func (s shelf) Run(context.Context, engine.Prompt, func(engine.Event)) (*engine.Result, error) {
	return nil, errors.ErrUnsupported
}
func (s shelf) Put(context.Context, string, string, io.Reader) (string, error) {
	return "", errors.ErrUnsupported
}
func (s shelf) Forget(context.Context, string) error { return nil }
func (s shelf) Free(context.Context) error           { return nil }
func (s shelf) Status() engine.Status                { return engine.Status{} }

func file(node, name, typ string) engine.Output {
	return engine.Output{Node: node, Key: "images", File: &engine.File{Name: name, Type: typ}}
}

func square() image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, 6, 4))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 7)
	}
	return img
}

func encoded(t *testing.T, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, square()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t *testing.T) []byte { return encoded(t, png.Encode) }

// withText is a PNG that says something, as ComfyUI's do.
func withText(t *testing.T) []byte {
	t.Helper()
	b := asPNG(t)
	body := append([]byte("tEXt"), "prompt\x00{secret}"...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)-4))
	chunk = append(chunk, body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(body))
	return append(append(append([]byte(nil), b[:33]...), chunk...), b[33:]...)
}

const graph = `{"1":{"class_type":"SaveImage","inputs":{},"_meta":{"title":"The Fox!"}},"2":{"class_type":"PreviewImage","inputs":{}},"3":{"class_type":"PreviewAny","inputs":{},"_meta":{"title":"Größe"}}}`

func collect(t *testing.T, s shelf, work jobs.Work, outs ...engine.Output) ([]jobs.Output, *Store, error) {
	t.Helper()
	st := &Store{Dir: t.TempDir()}
	work.Graph = json.RawMessage(graph)
	got, err := st.Collect(t.Context(), s, &jobs.Record{Job: jobs.Job{ID: "job_1"}, Work: work}, &engine.Result{Outputs: outs})
	return got, st, err
}

func TestCollect(t *testing.T) {
	s := shelf{"/a.png": asPNG(t), "/b.png": asPNG(t), "/t.png": asPNG(t)}
	text := engine.Output{Node: "3", Key: "text", Text: "hello"}
	for _, tt := range []struct {
		name  string
		names map[string]string
		outs  []engine.Output
		want  string
	}{
		{"named", map[string]string{"1": "fox"}, []engine.Output{file("1", "a.png", "output")}, "fox:image"},
		{"several", map[string]string{"1": "fox"}, []engine.Output{file("1", "a.png", "output"), file("1", "b.png", "output")}, "fox:image fox-2:image"},
		{"by title", nil, []engine.Output{file("1", "a.png", "output"), text}, "the-fox:image gr-e:text"},
		{"a name that is taken", map[string]string{"1": "fox", "3": "fox-2"}, []engine.Output{file("1", "a.png", "output"), file("1", "b.png", "output"), text}, "fox:image fox-2:image fox-2-2:text"},
		{"previews beside a result", nil, []engine.Output{file("2", "t.png", "temp"), file("1", "a.png", "output")}, "the-fox:image"},
		{"previews alone", nil, []engine.Output{file("2", "t.png", "temp")}, "previewimage:image"},
		{"a preview that is asked for", map[string]string{"2": "look"}, []engine.Output{file("2", "t.png", "temp"), file("1", "a.png", "output")}, "look:image the-fox:image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, st, err := collect(t, s, jobs.Work{Names: tt.names}, tt.outs...)
			if err != nil {
				t.Fatal(err)
			}
			var have []string
			for _, o := range got {
				have = append(have, o.Name+":"+o.Type)
				path, err := st.Path("job_1", o.Name)
				if b, e := os.ReadFile(path); err != nil || e != nil || int64(len(b)) != o.SizeBytes || o.URL != "/v1/jobs/job_1/outputs/"+o.Name {
					t.Errorf("%+v %v %v", o, err, e)
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(have, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	for code, outs := range map[string][]engine.Output{"no_output": nil, "output_unreadable": {file("1", "gone.png", "output")}} {
		_, _, err := collect(t, s, jobs.Work{}, outs...)
		var p *problem.Problem
		if !errors.As(err, &p) || p.Code != code {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestConversions(t *testing.T) {
	gifBytes := encoded(t, func(w io.Writer, i image.Image) error { return gif.Encode(w, i, nil) })
	for _, tt := range []struct {
		name, file string
		content    []byte
		want       jobs.Conversion
		animated   bool
		typ        string
		same       bool
	}{
		{"to jpeg", "a.png", asPNG(t), jobs.Conversion{Format: "jpeg", Quality: 80}, false, "image/jpeg", false},
		{"to webp", "a.png", asPNG(t), jobs.Conversion{Format: "webp"}, false, "image/webp", false},
		{"already", "a.png", asPNG(t), jobs.Conversion{Format: "png"}, false, "image/png", true},
		{"strip", "a.png", withText(t), jobs.Conversion{Strip: true}, false, "image/png", false},
		{"nothing to strip", "a.png", asPNG(t), jobs.Conversion{Strip: true}, false, "image/png", true},
		{"moving", "a.png", asPNG(t), jobs.Conversion{Format: "jpeg"}, true, "image/png", true},
		{"gif", "a.gif", gifBytes, jobs.Conversion{Format: "png"}, false, "image/gif", true},
		{"no picture", "a.wav", []byte("RIFF\x04\x00\x00\x00WAVE"), jobs.Conversion{Format: "png", Strip: true}, false, "audio/wav", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := file("1", tt.file, "output")
			o.Animated = tt.animated
			got, st, err := collect(t, shelf{"/" + tt.file: tt.content}, jobs.Work{Names: map[string]string{"1": "x"}, Conversions: map[string]jobs.Conversion{"1": tt.want}}, o)
			if err != nil {
				t.Fatal(err)
			}
			path, _ := st.Path("job_1", "x")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got[0].ContentType != tt.typ || bytes.Equal(b, tt.content) != tt.same || bytes.Contains(b, []byte("secret")) {
				t.Errorf("%+v", got[0])
			}
			if !strings.HasPrefix(tt.typ, "image/") {
				return
			}
			img, _, err := image.Decode(bytes.NewReader(b))
			if err != nil || img.Bounds() != square().Bounds() || got[0].Width != 6 || got[0].Height != 4 {
				t.Fatalf("%v %+v", err, got[0])
			}
			if tt.typ == "image/webp" || tt.name == "strip" {
				if a, b := color.NRGBAModel.Convert(img.At(3, 2)), color.NRGBAModel.Convert(square().At(3, 2)); a != b {
					t.Errorf("a pixel changed: %v, was %v", a, b)
				}
			}
		})
	}
}

func TestStripKeepsThePicture(t *testing.T) {
	j := encoded(t, func(w io.Writer, i image.Image) error { return jpeg.Encode(w, i, nil) })
	exif := append([]byte{0xff, 0xe1, 0, 10}, "secret!!"...)
	comment := append([]byte{0xff, 0xfe, 0, 8}, "secret"...)
	profile := append([]byte{0xff, 0xe2, 0, 9}, "profile"...)
	marked := bytes.Join([][]byte{j[:2], exif, profile, comment, j[2:]}, nil)
	clean := strip(marked, "image/jpeg")
	if bytes.Contains(clean, []byte("secret")) || !bytes.Contains(clean, []byte("profile")) {
		t.Errorf("%q", clean[:60])
	}
	w := encoded(t, func(w io.Writer, i image.Image) error { return nativewebp.Encode(w, i, nil) })
	marked = append(append([]byte(nil), w...), "EXIF\x06\x00\x00\x00secret"...)
	binary.LittleEndian.PutUint32(marked[4:], uint32(len(marked)-8))
	if got := strip(marked, "image/webp"); !bytes.Equal(got, w) {
		t.Errorf("%d bytes, were %d", len(got), len(w))
	}
}

func TestSniff(t *testing.T) {
	b64 := func(s string) string { b, _ := base64.StdEncoding.DecodeString(s); return string(b) }
	for _, tt := range []struct{ head, name, want string }{
		{"\x89PNG\r\n\x1a\n", "a.txt", "image/png image .png"},
		{"\xff\xd8\xff\xe0", "", "image/jpeg image .jpg"},
		{"GIF89a", "", "image/gif image .gif"},
		{"RIFF\x00\x00\x00\x00WEBP", "", "image/webp image .webp"},
		{"\x00\x00\x00\x20ftypisom", "", "video/mp4 video .mp4"},
		{"\x1aE\xdf\xa3", "", "video/webm video .webm"},
		{"RIFF\x00\x00\x00\x00WAVE", "", "audio/wav audio .wav"},
		{"fLaC", "", "audio/flac audio .flac"},
		{"ID3\x04", "", "audio/mpeg audio .mp3"},
		{"glTF\x02", "", "model/gltf-binary 3d .glb"},
		{b64("WAAAAAAAAAB7Il9f") + "x", "a.latent", "application/octet-stream latent .latent"},
		{b64("WAAAAAAAAAB7Il9f") + "x", "m.safetensors", "application/octet-stream file .safetensors"},
		{"<svg xmlns=", "a.svg", "image/svg+xml file .svg"},
		{"<?xml version=\"1.0\"?><svg>", "a.svg", "image/svg+xml file .svg"},
		{"<html><script>", "a.png", "application/octet-stream file .png"},
		{"hello", "a.md", "text/plain; charset=utf-8 text .txt"},
		{"\x00\x01\x02", "a.bin", "application/octet-stream file .bin"},
	} {
		k := Sniff([]byte(tt.head), tt.name)
		if got := k.ContentType + " " + k.Type + " " + k.Ext; got != tt.want {
			t.Errorf("%q: %s, want %s", tt.head, got, tt.want)
		}
	}
}

func TestPathsStayInside(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	for _, bad := range [][2]string{{"..", "x"}, {"job_1", ".."}, {"job_1", "../x"}, {"a/b", "x"}, {"job_1", ""}, {"job_1", ".part-1"}} {
		if p, err := s.Path(bad[0], bad[1]); err == nil {
			t.Errorf("%q leads to %s", bad, p)
		}
	}
	if err := s.Remove("../x"); err == nil {
		t.Error("a folder outside was removed")
	}
}

func FuzzStrip(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x00IEND\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x04ab\xff\xda\x00\x02"))
	f.Add([]byte("RIFF\x10\x00\x00\x00WEBPVP8X\x01\x00\x00\x00\x0c\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, ct := range []string{"image/png", "image/jpeg", "image/webp"} {
			if got := strip(b, ct); len(got) > len(b) {
				t.Errorf("%s grew", ct)
			}
		}
		Sniff(b, "x.png")
	})
}
