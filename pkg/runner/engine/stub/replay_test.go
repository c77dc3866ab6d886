package stub_test

import (
	"bytes"
	"encoding/json"
	"image"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

// recordings is the folder of recordings of ComfyUI 0.3.64.
func recordings(t testing.TB) string {
	dir := os.Getenv("COMFYCTL_RECORDED")
	if dir == "" {
		dir = "../../../../../shared/recorded"
	}
	dir = filepath.Join(dir, "comfyui-0.3.64")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no recordings: %v", err)
		}
		t.Skipf("no recordings: %v (set COMFYCTL_RECORDED)", err)
	}
	return dir
}

// transcript is one recorded prompt.
type transcript struct {
	Prompt json.RawMessage `json:"prompt"`
	Events []struct {
		Text *struct {
			Type string         `json:"type"`
			Data map[string]any `json:"data"`
		} `json:"text"`
		Binary *struct {
			Head string `json:"first_24_bytes_hex"`
		} `json:"binary"`
	} `json:"events"`
	Status   int             `json:"post_status"`
	Response json.RawMessage `json:"post_response"`
	Terminal string          `json:"terminal"`
	History  json.RawMessage `json:"history"`
	Views    []struct {
		Params      map[string]string `json:"params"`
		Status      int               `json:"status"`
		Kind        string            `json:"content_type"`
		Disposition string            `json:"content_disposition"`
	} `json:"views"`
}

// The transcripts in the order in which they were recorded, on two servers:
// what the cache holds and the numbers depend on it.
var (
	firstServer = []string{
		"text_to_image", "text_to_image_again_all_cached", "text_to_image_new_seed_partly_cached", "image_ops_batch",
		"video_mp4", "animated_webp", "latent_file", "execution_error", "invalid_cycle", "invalid_empty",
		"invalid_link_malformed", "invalid_link_slot_out_of_range", "invalid_link_to_missing_node", "invalid_link_type",
		"invalid_missing_class", "invalid_model_absent", "invalid_no_class_type", "invalid_no_outputs",
		"invalid_required_input_missing", "invalid_type_text", "invalid_value_not_in_list", "invalid_value_too_big",
		"one_output_bad_one_good", "invalid_value_too_small", "coerced_numeric_string", "extra_unknown_input_accepted",
		"interrupted",
	}
	secondServer = []string{
		"text_to_image_with_previews", "batch_of_two_with_temp_preview", "image_to_image_from_upload", "audio_flac",
		"load_image_absent", "node_without_inputs_unreachable",
	}
)

// exempt are the places where the stub need not do as recorded, and why.
var exempt = map[string]string{
	"interrupted/progress": "how many steps come before an interrupt depends on the speed of the machine",
}

func readTranscript(t *testing.T, name string) *transcript {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recordings(t), "transcripts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var tr transcript
	if err := dec.Decode(&tr); err != nil {
		t.Fatal(err)
	}
	return &tr
}

func TestEveryTranscriptIsReplayed(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(recordings(t), "transcripts"))
	if err != nil {
		t.Fatal(err)
	}
	var have, want []string
	for _, e := range entries {
		have = append(have, strings.TrimSuffix(e.Name(), ".json"))
	}
	want = slices.Sorted(slices.Values(append(slices.Clone(firstServer), secondServer...)))
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("transcripts (-replayed +recorded): %s", diff)
	}
}

// recordedRig has the files that lay on the recording machine.
func recordedRig(t *testing.T, previews bool) *rig {
	dir := t.TempDir()
	r := start(t, stub.Options{Dir: dir, Previews: previews, Pace: 0.2})
	writeTo(t, dir, "models/checkpoints/random-sd15-small.safetensors", nil)
	writeTo(t, dir, "input/broken.png", []byte("no picture"))
	writeTo(t, dir, "input/example.png", pngBytes(t, testPicture(8, 8)))
	return r
}

func TestContract(t *testing.T) {
	t.Run("first server", func(t *testing.T) {
		r := recordedRig(t, false)
		for _, name := range firstServer {
			t.Run(name, func(t *testing.T) { r.replay(t, name) })
		}
		t.Run("http_misc", func(t *testing.T) { r.misc(t) })
	})
	t.Run("second server", func(t *testing.T) {
		r := recordedRig(t, true)
		res := r.upload("/upload/image", "photo.png", pngBytes(t, testPicture(40, 30)), map[string]string{"subfolder": "job1"})
		if want := `{"name": "photo.png", "subfolder": "job1", "type": "input"}`; string(res.body) != want {
			t.Fatalf("upload: %s", res.body)
		}
		for _, name := range secondServer {
			t.Run(name, func(t *testing.T) { r.replay(t, name) })
		}
		t.Run("worker is dead", func(t *testing.T) { r.dead(t) })
	})
}

func (r *rig) replay(t *testing.T, name string) {
	tr := readTranscript(t, name)
	q := &rig{t, r.stub, r.http}
	client := strings.ReplaceAll(name, "_", "")
	ws := q.dial(client)
	defer func() { _ = ws.conn.CloseNow() }()
	events := []event{ws.read()}
	res := q.post(map[string]any{"prompt": tr.Prompt, "client_id": client})
	if res.status != tr.Status {
		t.Fatalf("status %d, recorded %d: %s", res.status, tr.Status, res.body)
	}
	want, got := decode(t, tr.Response), decode(t, res.body)
	id, _ := got.(map[string]any)["prompt_id"].(string)
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Errorf("answer (-recorded +stub): %s", diff)
	}
	if tr.Status != http.StatusOK {
		return
	}
	stop := ended
	if tr.Terminal == "" {
		stop = func(e event) bool { return e.Type == "execution_start" }
	}
	if name == "interrupted" {
		events = append(events, ws.until(func(e event) bool { return e.Type == "progress" })...)
		q.do("POST", "/interrupt", "", nil)
	}
	events = append(events, ws.until(stop)...)
	if diff := cmp.Diff(tr.story(name), story(name, events)); diff != "" {
		t.Errorf("events (-recorded +stub): %s", diff)
	}
	h := q.get("/history/" + id)
	if diff := cmp.Diff(plain(decode(t, tr.History)), plain(decode(t, h.body))); diff != "" {
		t.Errorf("history (-recorded +stub): %s", diff)
	}
	q.views(t, tr, decode(t, h.body), id)
}

// views compares what GET /view gives for each file of the history entry.
func (r *rig) views(t *testing.T, tr *transcript, history any, id string) {
	var files []map[string]any
	collectFiles(history.(map[string]any)[id], &files)
	if len(files) != len(tr.Views) {
		t.Fatalf("%d files, recorded %d", len(files), len(tr.Views))
	}
	for i, v := range tr.Views {
		p := url.Values{}
		for k, val := range files[i] {
			p.Set(k, val.(string))
		}
		res := r.get("/view?" + p.Encode())
		if res.status != v.Status || res.kind != v.Kind {
			t.Errorf("view %v: %d %s, recorded %d %s", files[i], res.status, res.kind, v.Status, v.Kind)
		}
		if got := res.header.Get("Content-Disposition"); numbered(got) != numbered(v.Disposition) {
			t.Errorf("disposition %q, recorded %q", got, v.Disposition)
		}
		if !strings.HasPrefix(v.Kind, "image/") || v.Kind == "image/webp" {
			continue // animations are looked at by their own tests
		}
		cfg, _, err := image.DecodeConfig(bytes.NewReader(res.body))
		if err != nil {
			t.Errorf("view %v: %v", files[i], err)
		}
		if w, h := tr.size(); cfg.Width != w || cfg.Height != h {
			t.Errorf("picture of %d×%d, want %d×%d", cfg.Width, cfg.Height, w, h)
		}
	}
}

// size is what the last node with sizes asks for.
func (tr *transcript) size() (w, h int) {
	var nodes map[string]struct {
		Inputs struct{ Width, Height any } `json:"inputs"`
	}
	_ = json.Unmarshal(tr.Prompt, &nodes)
	for _, id := range []string{"1", "2", "3", "4"} {
		if n, ok := nodes[id].Inputs.Width.(float64); ok {
			w, h = int(n), int(nodes[id].Inputs.Height.(float64))
		}
	}
	return w, h
}

func collectFiles(v any, into *[]map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["filename"].(string); ok {
			*into = append(*into, v)
			return
		}
		for _, k := range []string{"outputs", "2", "3", "4", "5", "7", "8", "images", "audio", "latents"} {
			if e, ok := v[k]; ok {
				collectFiles(e, into)
			}
		}
	case []any:
		for _, e := range v {
			collectFiles(e, into)
		}
	}
}

func (tr *transcript) story(name string) []string {
	var list []event
	for _, e := range tr.Events {
		switch {
		case e.Binary != nil:
			list = append(list, event{Binary: []byte(e.Binary.Head[:16])})
		case e.Text != nil:
			list = append(list, event{Type: e.Text.Type, Data: e.Text.Data})
		}
	}
	return story(name, list)
}

// story writes events as lines that can be compared.
func story(name string, list []event) []string {
	var out []string
	for _, e := range list {
		line := "preview "
		if e.Binary != nil {
			if head := e.Binary; len(head) > 16 {
				const hex = "0123456789abcdef"
				for _, c := range head[:8] {
					line += string(hex[c>>4]) + string(hex[c&15])
				}
			} else {
				line += string(head)
			}
		} else {
			b, _ := json.Marshal(plain(map[string]any{"type": e.Type, "data": e.Data})) // decoded JSON always encodes
			line = string(b)
		}
		stepping := e.Type == "progress" || e.Type == "progress_state" && strings.Contains(line, `"state":"running"`) && !strings.Contains(line, `"value":0`)
		if exempt[name+"/progress"] != "" && stepping {
			continue
		}
		out = append(out, line)
	}
	return out
}

var (
	uuids    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	counters = regexp.MustCompile(`_\d{5}_`)
	letters5 = regexp.MustCompile(`_temp_[a-z]{5}_`)
	folders  = regexp.MustCompile(`'[^']*/input/`)
)

func numbered(s string) string {
	s = letters5.ReplaceAllString(counters.ReplaceAllString(s, "_N_"), "_temp_X_")
	return folders.ReplaceAllString(uuids.ReplaceAllString(s, "ID"), "'DIR/input/")
}

// plain makes an answer comparable: what a clock, chance or the machine
// decides is replaced, human messages and prose are dropped.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			switch k {
			case "message", "tooltip", "traceback":
				if _, isText := e.(string); isText || k == "traceback" {
					continue
				}
			case "timestamp", "client_id", "sid":
				out[k] = "SOME"
				continue
			case "nodes", "current_outputs":
				if list, ok := e.([]any); ok {
					slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
				}
			}
			out[numbered(k)] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		if m, ok := out[max(0, len(out)-1):], len(out) == 2; ok {
			if o, isObject := m[0].(map[string]any); isObject && len(o) == 0 {
				return out[:1] // options of an input that were prose only
			}
		}
		return out
	case string:
		return numbered(v)
	}
	return v
}

// dead shows what is left after a node without inputs: HTTP answers, nothing
// runs.
func (r *rig) dead(t *testing.T) {
	q := &rig{t, r.stub, r.http}
	if res := q.get("/system_stats"); res.status != http.StatusOK {
		t.Errorf("system_stats: %d", res.status)
	}
	q.do("POST", "/interrupt", "", nil)
	if res := q.post(map[string]any{"prompt": map[string]any{
		"1": node("EmptyImage", map[string]any{"width": 8, "height": 8, "batch_size": 1, "color": 1}),
		"2": node("PreviewImage", map[string]any{"images": link("1", 0)}),
	}}); res.status != http.StatusOK {
		t.Errorf("prompt: %d", res.status)
	}
	state := q.getJSON("/queue").(map[string]any)
	if len(state["queue_running"].([]any)) != 1 || len(state["queue_pending"].([]any)) != 1 {
		t.Errorf("queue: %v", state)
	}
}
