package stub

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// call is one call of a node.
type call struct {
	r     *run
	id    string
	class *catalog.Class
	args  map[string]any
	key   string
}

// token is a value that only weights could fill: a model, a conditioning …
type token struct {
	typ   string
	key   string
	name  string // of the model file
	steps int    // of SIGMAS
	plain bool   // the VAE that needs no weights
}

func (c *call) num(name string, fallback float64) float64 {
	if v, ok := c.args[name]; ok {
		if f, err := pyFloat(v); err == nil {
			return f
		}
	}
	return fallback
}

func (c *call) int(name string, fallback int) int {
	if v, ok := c.args[name]; ok {
		if n, err := pyInt(v); err == nil && n.IsInt64() {
			return int(n.Int64())
		}
	}
	return fallback
}

func (c *call) text(name, fallback string) string {
	if v, ok := c.args[name]; ok {
		return pyStr(v)
	}
	return fallback
}

func (c *call) bool(name string, fallback bool) bool {
	if v, ok := c.args[name]; ok {
		return pyBool(v)
	}
	return fallback
}

func (c *call) image(name string) *picture {
	p, ok := c.args[name].(*picture)
	if !ok {
		panic(raisef("TypeError", "%s: input %s is no IMAGE", c.class.Name, name))
	}
	return p
}

func (c *call) maskArg(name string) *mask {
	switch m := c.args[name].(type) {
	case *mask:
		return m
	case *picture:
		return m.channel(0)
	}
	panic(raisef("TypeError", "%s: input %s is no MASK", c.class.Name, name))
}

// made gives a node that would need weights its outputs by schema: values of
// the right types, deterministic in everything that the node depends on.
func (c *call) made() ([]any, *object, *exception) {
	if c.class.APINode {
		return nil, nil, raise("Exception", "this node calls a paid service, which the stub engine does not")
	}
	if steps := c.steps(); steps > 0 && c.samples() {
		if !c.sample(min(steps, 10000)) {
			return nil, nil, nil
		}
	} else if !c.r.sleep(10 * time.Millisecond) {
		return nil, nil, nil
	}
	var outputs []any
	for i, o := range c.class.Outputs {
		outputs = append(outputs, c.standIn(i, o.Type))
	}
	return outputs, nil, nil
}

// standIn is the value of one output.
func (c *call) standIn(i int, types string) any {
	typ, _, _ := strings.Cut(types, ",")
	key := c.key + "/" + strconv.Itoa(i)
	switch strings.TrimSpace(typ) {
	case "IMAGE":
		w, h, batch := c.size()
		return c.stubPicture(w, h, batch)
	case "MASK":
		w, h, batch := c.size()
		return newMask(w, h, batch, 0)
	case "LATENT":
		return c.standInLatent(key)
	case "AUDIO":
		if a, ok := c.first(func(v any) bool { _, ok := v.(*audio); return ok }).(*audio); ok {
			return a
		}
		return tone(key)
	case "VIDEO":
		w, h, batch := c.size()
		return &video{p: c.stubPicture(w, h, batch), fps: 24}
	case "STRING":
		return "STUB " + c.class.Name
	case "INT":
		return new(big.Int)
	case "FLOAT":
		return 0.0
	case "BOOLEAN":
		return false
	case "SIGMAS":
		return &token{typ: "SIGMAS", key: key, steps: c.sigmaSteps()}
	case "*", "COMBO":
		if v := c.first(func(v any) bool { return v != nil }); v != nil {
			return v
		}
	}
	return &token{typ: types, key: key, name: c.text("model_name", "")}
}

// first is the first input, in the order of the schema, that fits.
func (c *call) first(fits func(v any) bool) any {
	for _, in := range c.class.Inputs {
		if v := c.args[in.Name]; fits(v) {
			return v
		}
	}
	return nil
}

// standInLatent has the shape of a latent that came in, or that of the sizes
// that the node names.
func (c *call) standInLatent(key string) *latent {
	if l, ok := c.first(func(v any) bool { _, ok := v.(*latent); return ok }).(*latent); ok {
		return l.derived(key)
	}
	w, h, batch := c.size()
	channels := 4
	if strings.Contains(c.class.Name, "SD3") || strings.Contains(c.class.Name, "Flux") {
		channels = 16
	}
	if strings.HasPrefix(c.class.Name, "Empty") {
		key = ""
	}
	if n := c.int("length", 0); n > 0 {
		return newLatent(key, batch, 16, (n-1)/4+1, max(1, h/factor), max(1, w/factor))
	}
	return newLatent(key, batch, channels, max(1, h/factor), max(1, w/factor))
}

// steps is how many steps a sampler goes: its own, or those of the sigmas.
func (c *call) steps() int {
	if s, ok := c.args["sigmas"].(*token); ok {
		return s.steps
	}
	n := c.int("steps", 0)
	from, to := c.int("start_at_step", 0), c.int("end_at_step", n)
	return max(0, min(n, to)-max(0, from))
}

func (c *call) sigmaSteps() int {
	if text, ok := c.args["sigmas"].(string); ok { // ManualSigmas: the values themselves
		return max(0, len(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }))-1)
	}
	return c.steps()
}

// samples says whether the class draws over steps: it takes a latent or noise
// and gives one.
func (c *call) samples() bool {
	for _, o := range c.class.Outputs {
		if o.Type == "LATENT" {
			return true
		}
	}
	return false
}

func (c *call) sample(steps int) bool {
	for i := 1; i <= steps; i++ {
		if !c.r.sleep(50 * time.Millisecond) {
			return false
		}
		if !c.r.progress(c.id, i, steps) {
			return false
		}
		if c.r.c.o.Previews || c.wantsPreview() {
			c.preview(i, steps)
		}
	}
	return true
}

func (c *call) wantsPreview() bool {
	v, _ := c.r.it.extra.get("preview_method")
	s, _ := v.(string)
	return c.r.c.since(5) && s != "" && s != "none" && s != "default"
}

// size is how large pictures of this class are: those of the first picture or
// latent that comes in, larger behind an upscale model, else what the node names.
func (c *call) size() (w, h, batch int) {
	by := 1
	if m, ok := c.args["upscale_model"].(*token); ok {
		by = upscale(m.name)
	}
	for _, in := range c.class.Inputs {
		switch v := c.args[in.Name].(type) {
		case *latent:
			w, h := v.size()
			return w, h, v.pictures()
		case *picture:
			return v.w * by, v.h * by, len(v.frames)
		}
	}
	return clamp(c.int("width", 512), 8, 16384), clamp(c.int("height", 512), 8, 16384), clamp(c.int("batch_size", 1), 1, 4096)
}

// upscale is how much an upscale model enlarges: what its name says, else 4.
func upscale(name string) int {
	for _, k := range []int{2, 3, 4, 8} {
		if d := strconv.Itoa(k); strings.Contains(name, d+"x") || strings.Contains(name, "x"+d) {
			return k
		}
	}
	return 4
}

func clamp(v, low, high int) int { return max(low, min(v, high)) }

// seedOf turns a key into a number that pictures are drawn from.
func seedOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

// noise is n values of a normal distribution that a text decides.
func noise(text string, n int) []float32 {
	r := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(text)))) //nolint:gosec // pictures, not secrets
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}
