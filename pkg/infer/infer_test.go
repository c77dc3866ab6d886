package infer

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

func parse(t testing.TB, nodes ...string) (*workflow.Graph, *catalog.Catalog) {
	t.Helper()
	g, found := workflow.Parse("w", []byte("{"+strings.Join(nodes, ",")+"}"))
	if g == nil || len(found) > 0 {
		t.Fatalf("%+v", found)
	}
	c, err := catalog.For("v0.3.64")
	if err != nil {
		t.Fatal(err)
	}
	return g, c
}

func node(id, class, inputs string) string {
	return `"` + id + `":{"class_type":"` + class + `","inputs":{` + inputs + `}}`
}

func titled(id, class, title, inputs string) string {
	return `"` + id + `":{"class_type":"` + class + `","_meta":{"title":"` + title + `"},"inputs":{` + inputs + `}}`
}

const sampler = `"seed":7,"steps":20,"cfg":7.5,"sampler_name":"euler","scheduler":"normal","denoise":1,"model":["4",0],"positive":["6",0],"negative":["7",0],"latent_image":["5",0]`

// spell writes inputs as NAME:TYPE=TARGET,TARGET.
func spell(list []contract.Input) []string {
	var out []string
	for _, in := range list {
		var to []string
		for _, t := range in.To {
			to = append(to, t.Node+"."+t.Input)
		}
		out = append(out, in.Name+":"+in.Type+"="+strings.Join(to, ","))
	}
	return out
}

func TestInputs(t *testing.T) {
	text := func(id, s string) string { return node(id, "CLIPTextEncode", `"text":"`+s+`","clip":["4",1]`) }
	latent := node("5", "EmptyLatentImage", `"width":512,"height":768,"batch_size":1`)
	for _, tt := range []struct {
		name  string
		nodes []string
		want  []string
	}{
		{"text to image", []string{node("3", "KSampler", sampler), latent, text("6", "a fox"), text("7", "blurry")},
			[]string{"prompt:text=6.text", "negative:text=7.text", "seed:seed=3.seed", "steps:int=3.steps", "cfg:float=3.cfg", "width:int=5.width", "height:int=5.height", "batch:int=5.batch_size"}},
		{"two samplers, one seed", []string{node("3", "KSampler", sampler), node("30", "KSampler", strings.Replace(sampler, "20", "9", 1)), text("6", "a"), text("7", "b")},
			[]string{"prompt:text=6.text", "negative:text=7.text", "seed:seed=3.seed,30.seed", "steps:int=3.steps", "cfg:float=3.cfg,30.cfg"}},
		{"through other conditioning", []string{node("3", "KSampler", sampler), node("6", "FluxGuidance", `"conditioning":["60",0],"guidance":3.5`), text("60", "a"), text("7", "b")},
			[]string{"prompt:text=60.text", "negative:text=7.text", "seed:seed=3.seed", "steps:int=3.steps", "cfg:float=3.cfg"}},
		{"both encoders of one node", []string{node("3", "KSampler", sampler), node("6", "CLIPTextEncodeFlux", `"clip_l":"a","t5xxl":"a","guidance":3,"clip":["4",0]`), node("7", "CLIPTextEncodeFlux", `"clip_l":"","t5xxl":"","guidance":3,"clip":["4",0]`)},
			[]string{"prompt:text=6.t5xxl,6.clip_l", "negative:text=7.t5xxl", "seed:seed=3.seed", "steps:int=3.steps", "cfg:float=3.cfg"}},
		{"constants by wire", []string{node("3", "KSampler", strings.NewReplacer(`"seed":7`, `"seed":["20",0]`, `"steps":20`, `"steps":["21",0]`).Replace(sampler)),
			titled("20", "PrimitiveInt", "Int", `"value":5`), titled("21", "PrimitiveInt", "How long", `"value":12`), titled("22", "PrimitiveFloat", "Strength 2", `"value":0.5`),
			node("5", "EmptyLatentImage", `"width":["23",0],"height":64,"batch_size":1`), titled("23", "PrimitiveInt", "W", `"value":64`)},
			[]string{"seed:seed=20.value", "steps:int=21.value", "cfg:float=3.cfg", "width:int=23.value", "height:int=5.height", "batch:int=5.batch_size", "strength_2:float=22.value"}},
		{"picture to picture", []string{node("3", "KSampler", strings.Replace(sampler, `"denoise":1`, `"denoise":0.6`, 1)), node("10", "LoadImage", `"image":"x.png"`), node("11", "LoadImage", `"image":"y.png"`), node("12", "LoadImageMask", `"image":"z.png","channel":"alpha"`)},
			[]string{"seed:seed=3.seed", "steps:int=3.steps", "cfg:float=3.cfg", "strength:float=3.denoise", "image:image=10.image", "image_2:image=11.image", "mask:mask=12.image"}},
		{"sound and film", []string{node("1", "LoadAudio", `"audio":"a.mp3"`), node("2", "LoadVideo", `"file":"a.mp4"`)}, []string{"audio:audio=1.audio", "video:video=2.file"}},
		{"a node that draws by itself", []string{node("1", "SomePackGenerate", `"prompt":"a fox","negative_prompt":"b","seed":3`)}, []string{"prompt:text=1.prompt", "negative:text=1.negative_prompt", "seed:seed=1.seed"}},
		{"embeds of a pack", []string{node("1", "PackSampler", `"text_embeds":["2",0],"seed":3`), node("2", "PackTextEncode", `"positive_prompt":"a","negative_prompt":"b"`)},
			[]string{"prompt:text=2.positive_prompt", "negative:text=2.negative_prompt", "seed:seed=1.seed"}},
		{"nothing", []string{node("1", "EmptyImage", `"width":["9",0],"height":["9",0]`)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, c := parse(t, tt.nodes...)
			if diff := cmp.Diff(tt.want, spell(Inputs(g, c))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Ranges come from the node that uses a value, narrowed; defaults from the graph.
func TestRanges(t *testing.T) {
	g, c := parse(t, node("3", "KSampler", strings.NewReplacer(`"steps":20`, `"steps":["21",0]`, "7.5", "40").Replace(sampler)), titled("21", "PrimitiveInt", "n", `"value":80`),
		node("5", "EmptyLatentImage", `"width":512,"height":4096,"batch_size":1`))
	got := map[string]string{}
	for _, in := range Inputs(g, c) {
		got[in.Name] = in.Min.String() + " " + string(in.Default) + " " + in.Max.String()
	}
	want := map[string]string{"seed": "  ", "steps": "1 80 160", "cfg": "0.0 40 80", "width": "16 512 2048", "height": "16 4096 8192", "batch": "1 1 4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOutputs(t *testing.T) {
	save := func(id, class, title string) string { return titled(id, class, title, `"images":["1",0],"x":1`) }
	for _, tt := range []struct {
		name  string
		nodes []string
		want  string
	}{
		{"saved before previews", []string{save("9", "SaveImage", "Save Image"), save("8", "PreviewImage", "")}, "image:image=9"},
		{"previews only", []string{save("8", "PreviewImage", "")}, "image:image=8"},
		{"several", []string{save("9", "SaveImage", "Save Image"), save("10", "SaveImage", "The mask"), save("11", "SaveImage", "Save Image")}, "image:image=9 the_mask:image=10 image_2:image=11"},
		{"other kinds", []string{save("1", "SaveVideo", ""), save("2", "SaveAudioMP3", ""), save("3", "SaveLatent", "")}, "video:video=1 audio:audio=2 latent:latent=3"},
		{"a pack's", []string{node("1", "EmptyImage", `"width":1`), save("2", "VHS_VideoCombine", ""), node("3", "PackLoader", `"x":1`)}, "video:video=2"},
		{"none", []string{node("1", "EmptyImage", `"width":1`)}, ""},
	} {
		g, c := parse(t, tt.nodes...)
		var got []string
		for _, o := range Outputs(g, c) {
			got = append(got, o.Name+":"+o.Type+"="+o.Node)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
	}
}

func TestSlug(t *testing.T) {
	for title, want := range map[string]string{"The Mask!": "the_mask", "": "x", "3D": "x", "Größe": "gr_e", "primitive": "x", "__a__": "a"} {
		if got := Slug(title, "x"); got != want {
			t.Errorf("%q gives %q", title, got)
		}
	}
}

// A graph that turns in a circle ends too.
func TestCycle(t *testing.T) {
	g, c := parse(t, node("3", "KSampler", sampler), node("6", "ConditioningCombine", `"conditioning_1":["6",0],"conditioning_2":["6",0]`))
	Inputs(g, c)
	Outputs(g, c)
}
