package stub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

func textToImage(seed, steps int) map[string]any {
	return map[string]any{
		"1": node("CheckpointLoaderSimple", map[string]any{"ckpt_name": "m.safetensors"}),
		"2": node("CLIPTextEncode", map[string]any{"text": "a boat", "clip": link("1", 1)}),
		"4": node("EmptyLatentImage", map[string]any{"width": 64, "height": 48, "batch_size": 1}),
		"5": node("KSampler", map[string]any{"seed": seed, "steps": steps, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
			"model": link("1", 0), "positive": link("2", 0), "negative": link("2", 0), "latent_image": link("4", 0)}),
		"6": node("VAEDecode", map[string]any{"samples": link("5", 0), "vae": link("1", 2)}),
		"7": node("SaveImage", map[string]any{"images": link("6", 0), "filename_prefix": "t2i"}),
	}
}

var oneModel = map[string][]string{"checkpoints": {"m.safetensors"}}

// pixels decodes a PNG to bytes that can be compared, without its metadata.
func pixels(t *testing.T, b []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			out = append(out, c.R, c.G, c.B)
		}
	}
	return out
}

func TestPicturesDependOnTheirInputsOnly(t *testing.T) {
	draw := func(seed int) (whole, picture []byte) {
		r := start(t, stub.Options{ModelFiles: oneModel})
		_, entry := r.run(textToImage(seed, 2))
		f := r.files(entry, "7", "images")[0]
		return f.body, pixels(t, f.body)
	}
	a, pa := draw(1)
	b, _ := draw(1)
	if !bytes.Equal(a, b) {
		t.Error("the same inputs gave other bytes")
	}
	if _, pc := draw(2); bytes.Equal(pa, pc) {
		t.Error("another seed gave the same picture")
	}
	for _, want := range []string{"tEXtprompt\x00{\"1\": {\"class_type\""} {
		if !bytes.Contains(a, []byte(want)) {
			t.Errorf("no %q in the file", want)
		}
	}
}

func TestCachedOutputKeepsItsFile(t *testing.T) {
	r := start(t, stub.Options{ModelFiles: oneModel})
	_, first := r.run(textToImage(1, 1))
	renamed := textToImage(1, 1)
	renamed["70"] = renamed["7"]
	delete(renamed, "7")
	_, again := r.run(renamed)
	one := first["outputs"].(map[string]any)["7"]
	two := again["outputs"].(map[string]any)["70"]
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
	if res := r.do("POST", "/free", "", []byte(`{"free_memory": true}`)); res.status != http.StatusOK {
		t.Fatal(res.status)
	}
	_, fresh := r.run(textToImage(1, 1))
	if cmp.Equal(one, fresh["outputs"].(map[string]any)["7"]) {
		t.Error("a freed cache still answers")
	}
}

func TestSigmasSayTheSteps(t *testing.T) {
	r := start(t, stub.Options{ModelFiles: oneModel})
	p := textToImage(1, 1)
	p["5"] = node("SamplerCustomAdvanced", map[string]any{"noise": link("10", 0), "guider": link("11", 0), "sampler": link("12", 0), "sigmas": link("13", 0), "latent_image": link("4", 0)})
	p["10"] = node("RandomNoise", map[string]any{"noise_seed": 3})
	p["11"] = node("BasicGuider", map[string]any{"model": link("1", 0), "conditioning": link("2", 0)})
	p["12"] = node("KSamplerSelect", map[string]any{"sampler_name": "euler"})
	p["13"] = node("BasicScheduler", map[string]any{"model": link("1", 0), "scheduler": "simple", "steps": 5, "denoise": 1.0})
	events, entry := r.run(p)
	var steps []string
	for _, e := range events {
		if e.Type == "progress" {
			steps = append(steps, e.Data["value"].(json.Number).String()+"/"+e.Data["max"].(json.Number).String())
		}
	}
	if got := strings.Join(steps, " "); got != "1/5 2/5 3/5 4/5 5/5" {
		t.Errorf("progress %s", got)
	}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(r.files(entry, "7", "images")[0].body))
	if err != nil || cfg.Width != 64 || cfg.Height != 48 {
		t.Errorf("picture %+v %v", cfg, err)
	}
}

func TestPreviewsFollowTheFeatureFlag(t *testing.T) {
	r := start(t, stub.Options{ModelFiles: oneModel, Previews: true})
	c := r.dial("flags")
	if err := c.conn.Write(context.Background(), websocket.MessageText, []byte(`{"type":"feature_flags","data":{"supports_preview_metadata":true}}`)); err != nil {
		t.Fatal(err)
	}
	c.until(func(e event) bool { return e.Type == "feature_flags" })
	if res := r.post(map[string]any{"prompt": textToImage(1, 2), "client_id": "flags"}); res.status != http.StatusOK {
		t.Fatalf("%s", res.body)
	}
	count := 0
	for _, e := range c.until(ended) {
		if len(e.Binary) == 0 {
			continue
		}
		count++
		if e.Binary[3] != 4 {
			t.Fatalf("binary type %d", e.Binary[3])
		}
		n := int(e.Binary[6])<<8 | int(e.Binary[7])
		about := decode(t, e.Binary[8:8+n]).(map[string]any)
		if about["node_id"] != "5" || about["image_type"] != "image/jpeg" {
			t.Errorf("metadata %v", about)
		}
		if _, format, err := image.DecodeConfig(bytes.NewReader(e.Binary[8+n:])); err != nil || format != "jpeg" {
			t.Errorf("%s %v", format, err)
		}
	}
	if count != 2 {
		t.Errorf("%d previews", count)
	}
}

// TestWithoutClient: lifecycle events go to nobody, progress to everybody.
func TestWithoutClient(t *testing.T) {
	r := start(t, stub.Options{ModelFiles: oneModel})
	c := r.dial("other")
	if res := r.post(map[string]any{"prompt": textToImage(1, 1)}); res.status != http.StatusOK {
		t.Fatalf("%s", res.body)
	}
	seen := map[string]bool{}
	c.until(func(e event) bool {
		seen[e.Type] = true
		b, _ := json.Marshal(e.Data) // decoded JSON always encodes
		return seen["progress"] && strings.Contains(string(b), `"queue_remaining":0`)
	})
	if diff := cmp.Diff(map[string]bool{"status": true, "progress": true, "progress_state": true}, seen); diff != "" {
		t.Errorf("messages (-want +got): %s", diff)
	}
}

func TestQueueOrderDeleteAndInterrupt(t *testing.T) {
	r := start(t, stub.Options{ModelFiles: oneModel, Pace: 1})
	c := r.dial("q")
	send := func(id string, more map[string]any) {
		t.Helper()
		body := map[string]any{"prompt": textToImage(len(id), 400), "client_id": "q", "prompt_id": id}
		for k, v := range more {
			body[k] = v
		}
		if res := r.post(body); res.status != http.StatusOK {
			t.Fatalf("%s", res.body)
		}
	}
	send("running", nil)
	c.until(func(e event) bool { return e.Type == "progress" })
	send("second", nil)
	send("gone", nil)
	send("first", map[string]any{"front": true})
	send("zeroth", map[string]any{"number": -100})
	r.do("POST", "/queue", "", []byte(`{"delete": ["gone"]}`))
	r.do("POST", "/interrupt", "", []byte(`{"prompt_id": "second"}`)) // does not run: no effect
	var order []string
	for range 4 {
		state := r.getJSON("/queue").(map[string]any)["queue_running"].([]any)
		id := state[0].([]any)[1].(string)
		order = append(order, id)
		r.do("POST", "/interrupt", "", []byte(`{"prompt_id": "`+id+`"}`))
		c.until(func(e event) bool { return ended(e) && e.Data["prompt_id"] == id })
		if len(order) < 4 {
			c.until(func(e event) bool { return e.Type == "progress" })
		}
	}
	if got := strings.Join(order, " "); got != "running zeroth first second" {
		t.Errorf("order %s", got)
	}
	if h := r.getJSON("/history/gone").(map[string]any); len(h) != 0 {
		t.Errorf("a deleted prompt left %v", h)
	}
}

func TestRefusals(t *testing.T) {
	old, newest := start(t, stub.Options{Version: "v0.3.64"}), start(t, stub.Options{Version: "v0.30.2"})
	picture := map[string]any{
		"1": node("EmptyImage", map[string]any{"width": 8, "height": 8, "batch_size": 1, "color": 1}),
		"2": node("PreviewImage", map[string]any{"images": link("1", 0)}),
	}
	cycle := map[string]any{
		"1": node("ImageInvert", map[string]any{"image": link("2", 0)}),
		"2": node("ImageInvert", map[string]any{"image": link("1", 0)}),
		"3": node("PreviewImage", map[string]any{"images": link("2", 0)}),
	}
	for _, tc := range []struct {
		name   string
		rig    *rig
		body   any
		status int
		has    string
	}{
		{"not json", old, []byte("not json"), 500, ""},
		{"empty", old, []byte(""), 500, ""},
		{"null prompt", old, []byte(`{"prompt": null}`), 500, ""},
		{"node is a number", old, []byte(`{"prompt": {"1": 3}}`), 500, ""},
		{"number is a word", old, []byte(`{"prompt": {}, "number": "x"}`), 500, ""},
		{"no prompt", old, []byte(`{}`), 400, "no_prompt"},
		{"no such class", old, map[string]any{"prompt": map[string]any{"1": node("X", nil)}}, 400, `"invalid_prompt"`},
		{"no such class", newest, map[string]any{"prompt": map[string]any{"1": node("X", map[string]any{})}}, 400, `"missing_node_type"`},
		{"inputs are null", newest, map[string]any{"prompt": map[string]any{"1": node("X", nil)}}, 500, ""},
		{"no targets", old, map[string]any{"prompt": picture, "partial_execution_targets": []string{}}, 400, "prompt_no_outputs"},
		{"target", old, map[string]any{"prompt": picture, "partial_execution_targets": []string{"2"}}, 200, ""},
		{"id of any kind", old, map[string]any{"prompt": picture, "prompt_id": "any"}, 200, `"any"`},
		{"id of any kind", newest, map[string]any{"prompt": picture, "prompt_id": "any"}, 400, "invalid_prompt_id"},
		{"cycle", old, map[string]any{"prompt": cycle}, 400, `"node_errors": {}`},
		{"cycle", newest, map[string]any{"prompt": cycle}, 400, "dependency_cycle"},
		{"slot of text", old, []byte(`{"prompt": {"1": {"class_type": "PreviewImage", "inputs": {"images": ["1", "0"]}}}}`), 400, "TypeError"},
		{"numeric source", old, []byte(`{"prompt": {"1": {"class_type": "PreviewImage", "inputs": {"images": [1, 0]}}}}`), 400, "KeyError"},
		{"seed too large", old, []byte(`{"prompt": {"1": {"class_type": "EmptyImage", "inputs": {"width": 18446744073709551616, "height": 8, "batch_size": 1, "color": 0}}, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}}`), 400, "18446744073709551616"},
	} {
		res := tc.rig.post(tc.body)
		if res.status != tc.status || !strings.Contains(string(res.body), tc.has) {
			t.Errorf("%s: %d %s, want %d and %q", tc.name, res.status, res.body, tc.status, tc.has)
		}
	}
}

func TestUploads(t *testing.T) {
	r := start(t, stub.Options{})
	a, b := pngBytes(t, testPicture(4, 4)), pngBytes(t, testPicture(5, 5))
	for _, tc := range []struct {
		name   string
		file   []byte
		fields map[string]string
		status int
		want   string
	}{
		{"x.png", a, nil, 200, `{"name": "x.png", "subfolder": "", "type": "input"}`},
		{"x.png", a, nil, 200, `{"name": "x.png", "subfolder": "", "type": "input"}`},
		{"x.png", b, nil, 200, `{"name": "x (1).png", "subfolder": "", "type": "input"}`},
		{"x.png", b, map[string]string{"overwrite": "true"}, 200, `{"name": "x.png", "subfolder": "", "type": "input"}`},
		{"x.png", a, map[string]string{"subfolder": "job/1", "type": "temp"}, 200, `{"name": "x.png", "subfolder": "job/1", "type": "temp"}`},
		{"x.png", a, map[string]string{"subfolder": "../.."}, 400, ""},
		{"x.png", a, map[string]string{"type": "models"}, 500, ""},
		{"", nil, nil, 400, ""},
	} {
		res := r.upload("/upload/image", tc.name, tc.file, tc.fields)
		if res.status != tc.status || tc.want != "" && string(res.body) != tc.want {
			t.Errorf("%s %v: %d %s", tc.name, tc.fields, res.status, res.body)
		}
	}
	if res := r.get("/view?type=input&filename=x.png"); !bytes.Equal(res.body, b) {
		t.Error("overwrite did not replace")
	}
}

func TestUploadMask(t *testing.T) {
	r := start(t, stub.Options{})
	r.upload("/upload/image", "base.png", pngBytes(t, testPicture(2, 1)), nil)
	mask := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	mask.SetNRGBA(0, 0, color.NRGBA{A: 77})
	res := r.upload("/upload/mask", "m.png", pngBytes(t, mask), map[string]string{"original_ref": `{"filename": "base.png", "type": "input"}`})
	if res.status != http.StatusOK {
		t.Fatalf("%d %s", res.status, res.body)
	}
	img, err := png.Decode(bytes.NewReader(r.get("/view?type=input&filename=m.png").body))
	if err != nil {
		t.Fatal(err)
	}
	want := testPicture(2, 1).NRGBAAt(0, 0)
	want.A = 77
	if got := color.NRGBAModel.Convert(img.At(0, 0)); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if res := r.upload("/upload/mask", "n.png", pngBytes(t, mask), map[string]string{"original_ref": `{"filename": "none.png"}`}); res.status != http.StatusOK {
		t.Errorf("absent original: %d", res.status)
	}
	if res := r.get("/view?type=input&filename=n.png"); res.status != http.StatusNotFound {
		t.Errorf("something was written: %d", res.status)
	}
	if res := r.upload("/upload/mask", "n.png", pngBytes(t, mask), nil); res.status != http.StatusInternalServerError {
		t.Errorf("no reference: %d", res.status)
	}
}

func TestOrigin(t *testing.T) {
	r := start(t, stub.Options{})
	for origin, want := range map[string]int{"": 200, r.stub.URL(): 200, "http://localhost": 403, "http://evil.example": 403} {
		req, err := http.NewRequest("GET", r.stub.URL()+"/prompt", nil)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		if res := r.send(req); res.status != want {
			t.Errorf("%q: %d, want %d", origin, res.status, want)
		}
	}
}

// TestRestart: temp is emptied and nothing is remembered.
func TestRestart(t *testing.T) {
	r := start(t, stub.Options{})
	_, entry := r.run(map[string]any{
		"1": node("EmptyImage", map[string]any{"width": 8, "height": 8, "batch_size": 1, "color": 1}),
		"2": node("PreviewImage", map[string]any{"images": link("1", 0)}),
	})
	r.files(entry, "2", "images")
	if err := r.stub.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	if err := r.stub.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-r.stub.Done()
	if err := r.stub.Err(); err != nil {
		t.Error(err)
	}
	if err := r.stub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := r.getJSON("/history").(map[string]any); len(h) != 0 {
		t.Errorf("history %v", h)
	}
	if f := r.getJSON("/internal/files/temp").([]any); len(f) != 0 {
		t.Errorf("temp holds %v", f)
	}
}

// TestLazySwitch runs only the branch that is taken.
func TestLazySwitch(t *testing.T) {
	r := start(t, stub.Options{Version: "v0.30.2"})
	empty := func(color int) map[string]any {
		return node("EmptyImage", map[string]any{"width": 8, "height": 8, "batch_size": 1, "color": color})
	}
	events, entry := r.run(map[string]any{
		"1": empty(0xff0000), "2": empty(0x00ff00),
		"3": node("ComfySwitchNode", map[string]any{"switch": true, "on_false": link("1", 0), "on_true": link("2", 0)}),
		"4": node("PreviewImage", map[string]any{"images": link("3", 0)}),
	})
	for _, e := range events {
		if e.Type == "executing" && e.Data["node"] == "1" {
			t.Error("the other branch ran")
		}
	}
	if p := pixels(t, r.files(entry, "4", "images")[0].body); p[0] != 0 || p[1] != 255 {
		t.Errorf("colour %v", p[:3])
	}
}
