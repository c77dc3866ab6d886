package stub

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// target is where a save node writes next: prefix_00001_.ext.
type target struct {
	dir, sub, stem string
	counter        int
	written        int  // files so far, which %batch_num% stands for
	bare           bool // no underscore behind the number
}

var counted = regexp.MustCompile(`^_(\d+)_?(\.[a-z0-9]+)?$`)

func (c *call) target(folder, prefix string) (*target, *exception) {
	prefix = strings.ReplaceAll(prefix, `\`, "/")
	now := time.Now()
	w, h := 0, 0
	if p, ok := c.args["images"].(*picture); ok {
		w, h = p.w, p.h
	}
	prefix = strings.NewReplacer("%width%", strconv.Itoa(w), "%height%", strconv.Itoa(h), "%year%", now.Format("2006"),
		"%month%", now.Format("01"), "%day%", now.Format("02"), "%hour%", now.Format("15"), "%minute%", now.Format("04"),
		"%second%", now.Format("05")).Replace(prefix)
	root := filepath.Join(c.r.c.o.Dir, folder)
	full := filepath.Join(root, filepath.FromSlash(prefix))
	if !strings.HasPrefix(full, root+string(filepath.Separator)) {
		return nil, raise("Exception", "saving outside of the output folder is not allowed")
	}
	t := &target{dir: filepath.Dir(full), stem: filepath.Base(full), counter: 1}
	if rel, err := filepath.Rel(root, t.dir); err == nil && rel != "." {
		t.sub = filepath.ToSlash(rel)
	}
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, raise("OSError", err.Error())
	}
	entries, _ := os.ReadDir(t.dir)
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), t.stem)
		if m := counted.FindStringSubmatch(rest); ok && m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				t.counter = max(t.counter, n+1)
			}
		}
	}
	return t, nil
}

// write stores one file and describes it as the history does.
func (t *target) write(typ, ext string, b []byte) (any, *exception) {
	name := fmt.Sprintf("%s_%05d_%s", strings.ReplaceAll(t.stem, "%batch_num%", strconv.Itoa(t.written)), t.counter, ext)
	if t.bare {
		name = fmt.Sprintf("%s_%05d%s", t.stem, t.counter, ext)
	}
	t.counter++
	t.written++
	if err := os.WriteFile(filepath.Join(t.dir, name), b, 0o644); err != nil {
		return nil, raise("OSError", err.Error())
	}
	return obj("filename", name, "subfolder", t.sub, "type", typ), nil
}

// save writes frames as PNG, with prompt and workflow in text chunks.
func (c *call) save(p *picture, typ, prefix string) ([]any, *exception) {
	t, ex := c.target(typ, prefix)
	if ex != nil {
		return nil, ex
	}
	files := []any{}
	for i := range p.frames {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, p.image(i)); err != nil {
			return nil, raise("OSError", err.Error())
		}
		f, ex := t.write(typ, ".png", withText(b.Bytes(), c.metadata()))
		if ex != nil {
			return nil, ex
		}
		files = append(files, f)
	}
	return files, nil
}

type textEntry struct{ key, value string }

func (c *call) metadata() []textEntry {
	list := []textEntry{{"prompt", string(dump(c.r.it.prompt))}}
	if v, ok := c.r.it.extra.get("extra_pnginfo"); ok {
		if o, ok := v.(*object); ok {
			for _, k := range o.keys {
				list = append(list, textEntry{k, string(dump(o.values[k]))})
			}
		}
	}
	return list
}

// withText puts tEXt chunks after a PNG's header.
func withText(b []byte, list []textEntry) []byte {
	const header = 8 + 25 // signature and IHDR
	out := append([]byte{}, b[:header]...)
	for _, e := range list {
		out = append(out, chunk("tEXt", append([]byte(e.key+"\x00"), e.value...))...)
	}
	return append(out, b[header:]...)
}

func chunk(typ string, data []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	out = append(out, typ...)
	out = append(out, data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

func saveImage(c *call) ([]any, *object, *exception) {
	p := c.image("images")
	files, ex := c.save(p, "output", c.text("filename_prefix", "ComfyUI"))
	if ex != nil {
		return nil, nil, ex
	}
	return []any{p}, obj("images", files), nil
}

func previewImage(c *call) ([]any, *object, *exception) {
	p := c.image("images")
	files, ex := c.save(p, "temp", c.tempPrefix())
	if ex != nil {
		return nil, nil, ex
	}
	return []any{p}, obj("images", files), nil
}

func maskPreview(c *call) ([]any, *object, *exception) {
	files, ex := c.save(c.maskArg("mask").picture(), "temp", c.tempPrefix())
	if ex != nil {
		return nil, nil, ex
	}
	return []any{c.args["mask"]}, obj("images", files), nil
}

// tempPrefix starts the names of pictures that are only looked at: five letters
// that differ between results.
func (c *call) tempPrefix() string {
	b := []byte(c.key[:5])
	for i := range b {
		b[i] = 'a' + b[i]%26
	}
	return "ComfyUI_temp_" + string(b)
}

// preview sends a small picture of what is being drawn.
func (c *call) preview(step, steps int) {
	w, h, _ := c.size()
	scale := min(1, 128/float64(max(w, h)))
	p := c.stubPicture(max(8, int(float64(w)*scale)), max(8, int(float64(h)*scale)), 1)
	t := float32(step) / float32(steps)
	p = p.each(func(v float32) float32 { return v*t + 0.5*(1-t) })
	var img bytes.Buffer
	if jpeg.Encode(&img, p.image(0), &jpeg.Options{Quality: 80}) != nil {
		return
	}
	plain := append([]byte{0, 0, 0, 1, 0, 0, 0, 1}, img.Bytes()...)
	meta := dump(obj("node_id", c.id, "prompt_id", c.r.it.id, "display_node_id", c.id, "parent_node_id", nil, "real_node_id", c.id, "image_type", "image/jpeg"))
	rich := append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, uint32(len(meta))), meta...)
	rich = append(rich, img.Bytes()...)
	k := c.r.c
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, s := range k.sockets {
		if id != c.r.it.client() && c.r.it.client() != nobody {
			continue
		}
		s.mu.Lock()
		takes := s.preview
		s.mu.Unlock()
		if takes {
			s.put(frame{data: rich})
		} else {
			s.put(frame{data: plain})
		}
	}
}

// saveAnimatedPNG writes one file with a frame for each picture (APNG).
func saveAnimatedPNG(c *call) ([]any, *object, *exception) {
	p := c.image("images")
	t, ex := c.target("output", c.text("filename_prefix", "ComfyUI"))
	if ex != nil {
		return nil, nil, ex
	}
	b, err := apng(p, c.num("fps", 6))
	if err != nil {
		return nil, nil, raise("OSError", err.Error())
	}
	f, ex := t.write("output", ".png", withText(b, c.metadata()))
	return []any{}, obj("images", []any{f}, "animated", []any{true}), ex
}

func apng(p *picture, fps float64) ([]byte, error) {
	var out []byte
	seq := uint32(0)
	for i := range p.frames {
		var b bytes.Buffer
		if err := png.Encode(&b, p.image(i)); err != nil {
			return nil, err
		}
		one := b.Bytes()
		if i == 0 {
			out = append(out, one[:33]...)
			ctl := binary.BigEndian.AppendUint32(nil, uint32(len(p.frames)))
			out = append(out, chunk("acTL", append(ctl, 0, 0, 0, 0))...)
		}
		fc := binary.BigEndian.AppendUint32(nil, seq)
		for _, v := range []int{p.w, p.h, 0, 0} {
			fc = binary.BigEndian.AppendUint32(fc, uint32(v))
		}
		fc = binary.BigEndian.AppendUint16(fc, uint16(clamp(int(1000/max(fps, 0.02)), 1, 65535)))
		out = append(out, chunk("fcTL", append(binary.BigEndian.AppendUint16(fc, 1000), 0, 0))...)
		seq++
		for rest := one[33:]; len(rest) >= 12; {
			n := int(binary.BigEndian.Uint32(rest))
			data := rest[8 : 8+n]
			if string(rest[4:8]) == "IDAT" {
				if i == 0 {
					out = append(out, chunk("IDAT", data)...)
				} else {
					out = append(out, chunk("fdAT", append(binary.BigEndian.AppendUint32(nil, seq), data...))...)
					seq++
				}
			}
			rest = rest[12+n:]
		}
	}
	return append(out, chunk("IEND", nil)...), nil
}

func saveAnimatedWEBP(c *call) ([]any, *object, *exception) {
	p := c.image("images")
	t, ex := c.target("output", c.text("filename_prefix", "ComfyUI"))
	if ex != nil {
		return nil, nil, ex
	}
	b, err := animatedWebP(p, c.num("fps", 6))
	if err != nil {
		return nil, nil, raise("OSError", err.Error())
	}
	f, ex := t.write("output", ".webp", b)
	return []any{}, obj("images", []any{f}, "animated", []any{len(p.frames) != 1}), ex
}
