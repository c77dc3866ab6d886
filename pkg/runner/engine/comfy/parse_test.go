package comfy

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

func TestStrict(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":NaN,"b":[Infinity,-Infinity,-1],"c":"NaN \" Infinity"}`: `{"a":null,"b":[null,null,-1],"c":"NaN \" Infinity"}`,
		`[18446744073709551615, NaN]`:                                 `[18446744073709551615, null]`,
		`"\\"`:                                                        `"\\"`,
		`"open`:                                                       `"open`,
	} {
		if got := string(strict([]byte(in))); got != want {
			t.Errorf("strict(%s) = %s, want %s", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"outputs":{"1":{"images":[NaN]}}}`, `{"status":{"messages":[["a",{}],[1],null]}}`, `"\`, `-`, `{"outputs":null,"prompt":[1,2,3,4,["5"]]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if json.Valid(b) && string(strict(b)) != string(b) {
			t.Errorf("strict changed valid JSON %q", b)
		}
		var e entry
		if decode(b, &e) != nil {
			return
		}
		e.ending()
		reused(b, e.executedOutputs(), nil)
		var c collector
		for _, o := range e.Outputs {
			c.add(e.node(o.Name), o.Value)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"type":"executing","data":{"node":null,"prompt_id":"x"}}`))
	f.Add(append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 4), 2), "{}pic"...))
	f.Add(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 3), 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSocket(newClient("http://127.0.0.1:1"), nil)
		box := newMailbox()
		s.boxes["x"], s.current = box, "x"
		s.text("id", b)
		s.binary(b)
		newWatch(engine.Prompt{Preview: true}, nil).read(box)
	})
}

func TestCollect(t *testing.T) {
	file := func(name, sub, kind string) *engine.File { return &engine.File{Name: name, Subfolder: sub, Type: kind} }
	for name, c := range map[string]struct {
		report string
		want   []engine.Output
	}{
		"image":      {`{"images":[{"filename":"a.png","subfolder":"s","type":"temp"}]}`, []engine.Output{{Node: "1", Key: "images", File: file("a.png", "s", "temp")}}},
		"defaults":   {`{"gifs":[{"filename":"a.mp4","frame_rate":8.5}]}`, []engine.Output{{Node: "1", Key: "gifs", File: file("a.mp4", "", "output")}}},
		"animated":   {`{"images":[{"filename":"a.webp"}],"animated":[true]}`, []engine.Output{{Node: "1", Key: "images", File: file("a.webp", "", "output"), Animated: true}}},
		"still":      {`{"images":[{"filename":"a.webp"}],"animated":[false]}`, []engine.Output{{Node: "1", Key: "images", File: file("a.webp", "", "output")}}},
		"text":       {`{"text":["a","b"]}`, []engine.Output{{Node: "1", Key: "text", Text: "a"}, {Node: "1", Key: "text", Text: "b"}}},
		"number":     {`{"value":[18446744073709551615]}`, []engine.Output{{Node: "1", Key: "value", Text: "18446744073709551615"}}},
		"3d":         {`{"result":["3d/x.glb",null,{"camera":1}]}`, []engine.Output{{Node: "1", Key: "result", Text: "3d/x.glb"}}},
		"twice":      {`{"images":[{"filename":"a.png"}],"files":[{"filename":"a.png","type":"output"}]}`, []engine.Output{{Node: "1", Key: "images", File: file("a.png", "", "output")}}},
		"order":      {`{"z":["1"],"a":["2"]}`, []engine.Output{{Node: "1", Key: "z", Text: "1"}, {Node: "1", Key: "a", Text: "2"}}},
		"null":       {`null`, nil},
		"nulls":      {`{"images":null,"x":[null,true]}`, nil},
		"not a name": {`{"images":[{"filename":5},{"filename":""}]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var k collector
			k.add("1", json.RawMessage(c.report))
			if d := cmp.Diff(c.want, k.list); d != "" {
				t.Errorf("outputs (-want +got):\n%s", d)
			}
		})
	}
}

func TestReused(t *testing.T) {
	const graph = `{"1":{"inputs":{}},"2":{"inputs":{"a":["1",0],"n":[1,2,3]}},"3":{"inputs":{"images":["2",0]}},"4":{"inputs":{"t":"x"}},"9":{"inputs":{"x":["8",0]}}}`
	for name, c := range map[string]struct {
		outputs, cached []string
		want            bool
	}{
		"all":               {[]string{"3"}, []string{"1", "2", "3"}, true},
		"saved anew":        {[]string{"3"}, []string{"1", "2"}, true},
		"partly":            {[]string{"3"}, []string{"1"}, false},
		"nothing":           {[]string{"3"}, nil, false},
		"two outputs":       {[]string{"3", "4"}, []string{"1", "2"}, false},
		"alone, cached":     {[]string{"4"}, []string{"4"}, true},
		"alone, not cached": {[]string{"4"}, []string{"1"}, false},
		"dangling":          {[]string{"9"}, []string{"1"}, false},
		"no outputs":        {nil, []string{"1"}, false},
	} {
		if got := reused(json.RawMessage(graph), c.outputs, c.cached); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestMailboxCoalesces(t *testing.T) {
	b := newMailbox()
	progress := func(node string, v json.Number) item {
		m := &message{Type: "progress"}
		m.Data.Node, m.Data.Value = &node, v
		return item{message: m}
	}
	for range 3 {
		b.put(progress("1", "1"))
		b.put(item{preview: &preview{node: "1"}})
		b.put(progress("1", "2"))
		b.put(progress("2", "1"))
	}
	b.put(item{message: &message{Type: "executing"}})
	b.put(progress("1", "3"))
	items, touched, deaf := b.take()
	if len(items) != 5 || !touched || deaf {
		t.Errorf("%d items, touched %v, deaf %v", len(items), touched, deaf)
	}
	if v := items[0].message.Data.Value; v != "2" {
		t.Errorf("first progress is %s", v)
	}
}

func TestLogRing(t *testing.T) {
	var raw strings.Builder
	r := newLogRing(3, &raw)
	var seen []string
	stop := r.watch(func(l string) { seen = append(seen, l) })
	for _, s := range []string{"one\ntw", "o\r\n\x1b[31mthree\x1b[0m  \r 50%\r", strings.Repeat("x", maxLine+5), "\nlast"} {
		if n, err := io.WriteString(r, s); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	r.flush()
	stop()
	r.Write([]byte("unseen\n"))
	if d := cmp.Diff([]string{"xxxxx", "last", "unseen"}, r.tail()); d != "" {
		t.Errorf("tail (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"one", "two", "three", " 50%", strings.Repeat("x", maxLine), "xxxxx", "last"}, seen); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if !strings.Contains(raw.String(), "\x1b[31m") {
		t.Error("the raw output was changed")
	}
}
