//go:build e2e

package e2e

import (
	"bytes"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"
)

// checkPictures draws with the checkpoint: the size asked for, a second
// identical call from the cache, another picture for another seed.
func checkPictures(t *testing.T, s *service, workflow string) {
	input := func(seed int) map[string]any {
		return map[string]any{"prompt": "a lighthouse at dawn", "seed": seed, "steps": 2, "width": 192, "height": 128}
	}
	first := s.succeed(t, workflow, input(7))
	if first.Reused {
		t.Error("the first picture says reused")
	}
	if len(first.Outputs) != 1 {
		t.Fatalf("outputs are %+v, want one", first.Outputs)
	}
	picture := s.fetch(t, first, first.Outputs[0])
	c, err := png.DecodeConfig(bytes.NewReader(picture))
	if err != nil || c.Width != 192 || c.Height != 128 {
		t.Errorf("the picture is %dx%d (%v), want a PNG of 192x128", c.Width, c.Height, err)
	}
	second := s.succeed(t, workflow, input(7))
	if !second.Reused {
		t.Error("a second identical call does not say reused")
	}
	if again := s.fetch(t, second, second.Outputs[0]); !bytes.Equal(pixels(t, again), pixels(t, picture)) {
		t.Error("the reused picture is another one")
	}
	third := s.succeed(t, workflow, input(8))
	if third.Reused {
		t.Error("another seed says reused")
	}
	if other := s.fetch(t, third, third.Outputs[0]); bytes.Equal(pixels(t, other), pixels(t, picture)) {
		t.Error("another seed gives the same picture")
	}
}

// pixels are the colours of a PNG, whatever else the file holds.
func pixels(t *testing.T, b []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	r := img.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			red, green, blue, alpha := img.At(x, y).RGBA()
			out = append(out, byte(red>>8), byte(green>>8), byte(blue>>8), byte(alpha>>8))
		}
	}
	return out
}

// checkNodes runs graphs of core nodes: each kind of output arrives.
func checkNodes(t *testing.T, s *service) {
	for name, c := range map[string]struct {
		input map[string]any
		want  map[string]string // output to the start of its content
		count int
	}{
		"image-ops": {map[string]any{"color": 255}, map[string]string{"images": "\x89PNG", "preview": "\x89PNG"}, 6},
		"animation": {map[string]any{"color": 254}, map[string]string{"animation": "RIFF"}, 1},
		"video":     {map[string]any{"color": 253}, map[string]string{"video": ""}, 1},
		"latent":    {map[string]any{"seconds": 1.5}, map[string]string{"latent": ""}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			j := s.succeed(t, name, c.input)
			if len(j.Outputs) != c.count {
				t.Errorf("%d outputs, want %d: %+v", len(j.Outputs), c.count, j.Outputs)
			}
			for _, f := range j.Outputs {
				start, ok := "", false
				for out, content := range c.want {
					// Further files of one output have a number after its name.
					if strings.HasPrefix(f.Name, out) {
						start, ok = content, true
					}
				}
				b := s.fetch(t, j, f)
				if !ok || !strings.HasPrefix(string(b), start) {
					t.Errorf("output %s (%s) starts with %q", f.Name, f.Media, b[:min(8, len(b))])
				}
				if name == "video" && !bytes.Contains(b[:min(16, len(b))], []byte("ftyp")) {
					t.Errorf("the video starts with %q", b[:min(16, len(b))])
				}
			}
		})
	}
}

// checkNodeError wants node, class and message of a failure at run time.
func checkNodeError(t *testing.T, s *service) {
	j := s.run(t, "broken", map[string]any{"pattern": "("})
	e := j.Error
	if j.Status != "failed" || e == nil || e.Node == nil {
		t.Fatalf("job is %s, %+v", j.Status, e)
	}
	t.Logf("%s at node %s %s %q: %s", e.Code, e.Node.ID, e.Node.Class, e.Node.Title, e.Message)
	if e.Node.ID != "1" || e.Node.Class != "RegexReplace" || !strings.Contains(e.Message, "unterminated subpattern") {
		t.Errorf("error is %+v at %+v", e, e.Node)
	}
	// The engine goes on.
	if j := s.succeed(t, "broken", map[string]any{"pattern": "fox"}); len(j.Outputs) != 1 {
		t.Errorf("outputs are %+v", j.Outputs)
	}
}

// checkCancel wants a running job to have stopped in the engine within 2 s.
func checkCancel(t *testing.T, s *service) {
	j := s.post(t, "slow", "respond-async", map[string]any{"color": int(time.Now().UnixNano() % 0xffffff)})
	for {
		var now job
		s.do(t, http.MethodGet, "/v1/jobs/"+j.ID, "", nil, &now)
		// ComfyUI can be interrupted only where a node reports progress.
		if now.Status == "running" && now.Progress.Step > 0 {
			break
		}
		if now.Status != "queued" && now.Status != "running" {
			t.Fatalf("job is %s before it was cancelled", now.Status)
		}
		time.Sleep(20 * time.Millisecond)
	}
	from := time.Now()
	if code, b := s.do(t, http.MethodPost, "/v1/jobs/"+j.ID+"/cancel", "", nil, nil); code/100 != 2 {
		t.Fatalf("cancel: %d %s", code, b)
	}
	end := s.wait(t, j.ID)
	took := time.Since(from)
	t.Logf("cancelled in %s", took.Round(time.Millisecond))
	if end.Status != "canceled" || took > 2*time.Second {
		t.Errorf("job is %s after %s", end.Status, took)
	}
	// The engine is free: a job sent now is not held up by the cancelled one.
	s.succeed(t, "image-ops", map[string]any{"color": 252})
}
