package stub

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
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
	typ string
	key string
}

// latent is a picture that has not been decoded; w and h are in pixels.
type latent struct {
	w, h, batch int
	key         string
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
	p, _ := c.args[name].(*picture)
	if p == nil {
		p = c.stubPicture(64, 64, 1)
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
	return newMask(64, 64, 1, 0)
}

// made gives a node that would need weights its outputs by schema: values of
// the right types, deterministic in everything that the node depends on.
func (c *call) made() ([]any, *object, *exception) {
	if steps := c.int("steps", 0); steps > 0 && c.samples() {
		if !c.sample(min(steps, 10000)) {
			return nil, nil, nil
		}
	} else if !c.r.sleep(10 * time.Millisecond) {
		return nil, nil, nil
	}
	w, h, batch := c.size()
	var outputs []any
	for i, o := range c.class.Outputs {
		typ, _, _ := strings.Cut(o.Type, ",")
		switch strings.TrimSpace(typ) {
		case "IMAGE":
			outputs = append(outputs, c.stubPicture(w, h, batch))
		case "MASK":
			outputs = append(outputs, newMask(w, h, batch, 0))
		case "LATENT":
			outputs = append(outputs, &latent{w, h, batch, c.key})
		case "STRING":
			outputs = append(outputs, "STUB "+c.class.Name)
		case "INT":
			outputs = append(outputs, new(big.Int))
		case "FLOAT":
			outputs = append(outputs, 0.0)
		case "BOOLEAN":
			outputs = append(outputs, false)
		default:
			outputs = append(outputs, &token{o.Type, c.key + string(rune('0'+i%10))})
		}
	}
	if c.class.OutputNode {
		return outputs, obj(), nil
	}
	return outputs, nil, nil
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
		if c.r.c.o.Previews || c.wantsPreview() {
			c.preview(i, steps)
		}
		if !c.r.progress(c.id, i, steps) {
			return false
		}
	}
	return true
}

func (c *call) wantsPreview() bool {
	v, _ := c.r.it.extra.get("preview_method")
	s, _ := v.(string)
	return c.r.c.since(5) && s != "" && s != "none" && s != "default"
}

// size is that of the first latent or picture that comes in, else of the
// width and height that the node names.
func (c *call) size() (w, h, batch int) {
	for _, in := range c.class.Inputs {
		switch v := c.args[in.Name].(type) {
		case *latent:
			return v.w, v.h, v.batch
		case *picture:
			return v.w, v.h, len(v.frames)
		}
	}
	return clamp(c.int("width", 512), 8, 4096), clamp(c.int("height", 512), 8, 4096), clamp(c.int("batch_size", 1), 1, 64)
}

func clamp(v, low, high int) int { return max(low, min(v, high)) }

// seedOf turns a key into a number that pictures are drawn from.
func seedOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}
