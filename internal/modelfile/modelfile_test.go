package modelfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// safe makes a safetensors file of a header and n bytes.
func safe(header any, n int) []byte {
	h, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(h)))
	return append(append(b, h...), make([]byte, n)...)
}

type object = map[string]any

func entry(dtype string, begin, end int, shape ...int) object {
	return object{"dtype": dtype, "shape": append([]int{}, shape...), "data_offsets": []int{begin, end}}
}

// gguf makes a GGUF file.
type gguf struct{ bytes.Buffer }

func (g *gguf) num(v any) *gguf { _ = binary.Write(g, binary.LittleEndian, v); return g }
func (g *gguf) str(s string) *gguf {
	g.num(uint64(len(s)))
	g.WriteString(s)
	return g
}

func newGGUF(version uint32, dims uint64, data int) []byte {
	g := &gguf{}
	g.WriteString("GGUF")
	g.num(version).num(uint64(2)).num(uint64(4))
	g.str("general.architecture").num(uint32(8)).str("flux")
	g.str("general.alignment").num(uint32(4)).num(uint32(64))
	g.str("tokens").num(uint32(9)).num(uint32(8)).num(uint64(2)).str("a").str(strings.Repeat("b", 5000))
	g.str("scores").num(uint32(9)).num(uint32(6)).num(uint64(3)).num([]float32{1, 2, 3})
	g.str("a").num(uint32(2)).num([]uint64{64, dims}).num(uint32(8)).num(uint64(0))
	g.str("b").num(uint32(1)).num(uint64(10)).num(uint32(0)).num(64 / 32 * 34 * dims)
	for g.Len()%64 != 0 {
		g.WriteByte(0)
	}
	g.Write(make([]byte, data))
	return g.Bytes()
}

func TestRead(t *testing.T) {
	two := object{"__metadata__": object{"modelspec.architecture": "flux-1-dev"}, "a": entry("F16", 0, 12, 2, 3), "b": entry("F8_E4M3", 12, 16, 4)}
	want := &Info{Format: Safetensors, Tensors: 2, Params: 10, Architecture: "flux-1-dev", Bytes: map[string]int64{"F16": 12, "F8_E4M3": 4}}
	wantG := &Info{Format: GGUF, Tensors: 2, Params: 64*3 + 10, Architecture: "flux", Bytes: map[string]int64{"Q8_0": 204, "F32": 40}}
	long := binary.LittleEndian.AppendUint64(nil, maxHeader+1)
	for _, tc := range []struct {
		name string
		b    []byte
		want *Info
		code string
	}{
		{"ok.safetensors", safe(two, 16), want, ""},
		{"scalar.safetensors", safe(object{"s": entry("F32", 0, 4)}, 4), &Info{Format: Safetensors, Tensors: 1, Params: 1, Bytes: map[string]int64{"F32": 4}}, ""},
		{"new type.sft", safe(object{"s": entry("F2", 0, 5, 4)}, 5), &Info{Format: Safetensors, Tensors: 1, Params: 4, Bytes: map[string]int64{"F2": 5}}, ""},
		{"none.safetensors", safe(object{}, 0), &Info{Format: Safetensors, Bytes: map[string]int64{}}, ""},
		{"cut.safetensors", safe(two, 15), nil, "model_truncated"},
		{"cut.safetensors", safe(two, 16)[:40], nil, "model_truncated"},
		{"more.safetensors", safe(two, 17), nil, "not_a_model"},
		{"hole.safetensors", safe(object{"a": entry("U8", 0, 4, 4), "b": entry("U8", 5, 9, 4)}, 9), nil, "not_a_model"},
		{"overlap.safetensors", safe(object{"a": entry("U8", 0, 4, 4), "b": entry("U8", 3, 7, 4)}, 7), nil, "not_a_model"},
		{"shape.safetensors", safe(object{"a": entry("F16", 0, 4, 4)}, 4), nil, "not_a_model"},
		{"negative.safetensors", safe(object{"a": entry("F16", 0, 4, -2)}, 4), nil, "not_a_model"},
		{"backwards.safetensors", safe(object{"a": entry("F16", 4, 0, 2)}, 4), nil, "not_a_model"},
		{"huge.safetensors", safe(object{"a": entry("F16", 0, 4, 1<<40, 1<<40)}, 4), nil, "not_a_model"},
		{"offsets.safetensors", safe(object{"a": object{"dtype": "F16"}}, 4), nil, "not_a_model"},
		{"list.safetensors", safe([]int{1}, 4), nil, "not_a_model"},
		{"null.safetensors", safe(nil, 4), nil, "not_a_model"},
		{"long.safetensors", append(long, make([]byte, 100)...), nil, "not_a_model"},
		{"short.safetensors", []byte("abc"), nil, "not_a_model"},
		{"empty.safetensors", nil, nil, "not_a_model"},
		{"page.gguf", []byte("\n<!DOCTYPE HTML><p>"), nil, "not_a_model"},
		{"pointer.ckpt", []byte("version https://git-lfs.github.com/spec/v1\n"), nil, "not_a_model"},
		{"ok.gguf", newGGUF(3, 3, 204+40), wantG, ""},
		{"ok2.gguf", newGGUF(2, 3, 204+40), wantG, ""},
		{"named.bin", newGGUF(3, 3, 204+40), wantG, ""},
		{"cut.gguf", newGGUF(3, 3, 204+39), nil, "model_truncated"},
		{"head.gguf", newGGUF(3, 3, 0)[:100], nil, "model_truncated"},
		{"version.gguf", newGGUF(9, 3, 244), nil, "not_a_model"},
		{"huge.gguf", newGGUF(3, 1<<60, 244), nil, "not_a_model"},
		{"not.gguf", []byte("GGML...."), nil, "not_a_model"},
		{"notes.txt", []byte("anything"), &Info{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Read(tc.name, bytes.NewReader(tc.b), int64(len(tc.b)))
			var e *diag.Error
			switch {
			case tc.code == "" && err != nil, tc.code != "" && (!errors.As(err, &e) || e.Code != tc.code || e.Help == ""):
				t.Errorf("got %v", err)
			default:
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// files gives the fixtures of a folder that testdata/make.py writes.
func files(t testing.TB, kind string, want int) map[string][]byte {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", kind, "*"))
	if err != nil || len(list) < want {
		t.Fatalf("%d fixtures in %s, %v", len(list), kind, err)
	}
	out := map[string][]byte{}
	for _, f := range list {
		if out[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestGoodPickles(t *testing.T) {
	for name, b := range files(t, "good", 10) {
		info, err := Read(name, bytes.NewReader(b), int64(len(b)))
		if err != nil || info.Format != Pickle {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if strings.HasPrefix(name, "state") {
			if d := cmp.Diff([]string{"collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"}, info.Globals); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
}

func TestBadPickles(t *testing.T) {
	says := map[string]string{"system.ckpt": "posix.system", "legacy.ckpt": "posix.system", "memo.pkl": "os.system", "builtins.pt": "builtins.eval",
		"crc.pt": "damaged", "code.pt": "code", "nested.pt": "more.zip", "twice.pt": "twice", "patch.pkl": "changes", "tail.pt": "follows",
		"hidden.pkl": "hides", "escape.pkl": "hides", "inst.pkl": "os.system", "two.pkl": "follows", "cut.pkl": "cut short", "both.pth": "tar", "tar.pth": "tar"}
	for name, b := range files(t, "bad", 25) {
		_, err := Read(name, bytes.NewReader(b), int64(len(b)))
		var e *diag.Error
		if !errors.As(err, &e) || e.Code != "pickle_refused" || !strings.Contains(e.Message, says[name]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A pickle is one whatever its name is.
func TestPickleByContent(t *testing.T) {
	b := files(t, "bad", 1)["system.ckpt"]
	for _, name := range []string{"x.onnx", "x", "x.dat"} {
		if _, err := Read(name, bytes.NewReader(b), int64(len(b))); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

// Nothing on the list opens files, starts processes or imports.
func TestListIsHarmless(t *testing.T) {
	for g := range allowed() {
		module, name, _ := strings.Cut(g, " ")
		for _, bad := range []string{"os", "posix", "nt", "sys", "subprocess", "importlib", "runpy", "socket", "shutil", "pickle", "torch.hub", "torch.jit", "webbrowser", "pty", "ctypes", "operator", "functools"} {
			if module == bad {
				t.Errorf("%s is on the list", g)
			}
		}
		for _, bad := range []string{"eval", "exec", "compile", "open", "getattr", "setattr", "delattr", "__import__", "input", "globals", "vars", "load", "_load_from_bytes", "map", "apply"} {
			if name == bad {
				t.Errorf("%s is on the list", g)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, kind := range []string{"good", "bad"} {
		for name, b := range files(f, kind, 1) {
			f.Add(name, b)
		}
	}
	f.Add("a.safetensors", safe(object{"a": entry("F16", 0, 4, 2)}, 4))
	f.Add("a.gguf", newGGUF(3, 3, 244))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		info, err := Read(name, bytes.NewReader(b), int64(len(b)))
		if (info == nil) == (err == nil) {
			t.Error("neither an answer nor an error, or both")
		}
	})
}
