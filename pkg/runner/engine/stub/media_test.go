package stub

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// noisyFrames are pictures that no encoder finds easy, the last two equal.
func noisyFrames(n, w, h int) *picture {
	p := newPicture(w, h, 3, n)
	for k, f := range p.frames {
		for i, v := range noise("frame"+string(rune('a'+k)), len(f)) {
			f[i] = unit(0.5 + v/4)
		}
	}
	if n > 1 {
		copy(p.frames[n-1], p.frames[n-2])
	}
	return p
}

// tool finds a program that judges files; it is no part of the project, so its
// absence leaves the test out, except where COMFYCTL_MEDIA_TOOLS asks for it.
func tool(t *testing.T, name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("COMFYCTL_MEDIA_TOOLS") != "" {
			t.Fatal(err)
		}
		t.Skipf("%s is not installed (COMFYCTL_MEDIA_TOOLS=1 demands it)", name)
	}
	return p
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool(t, name), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return b
}

func TestMP4DecodesToItsPictures(t *testing.T) {
	for _, size := range [][2]int{{64, 48}, {70, 50}, {33, 21}} {
		in := noisyFrames(5, size[0], size[1])
		file := filepath.Join(t.TempDir(), "x.mp4")
		putFile(t, filepath.Dir(file), "x.mp4", encodeMP4(in, 8, func() bool { return false }))
		w, h := size[0]+size[0]%2, size[1]+size[1]%2
		raw := output(t, "ffmpeg", "-v", "error", "-i", file, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
		if len(raw) != 5*w*h*3/2 {
			t.Fatalf("%v: %d bytes, want %d", size, len(raw), 5*w*h*3/2)
		}
		mw, mh := (w+15)/16, (h+15)/16
		for i := range 5 {
			want := toYUV(in, i, mw, mh)
			for y := range h {
				got := raw[i*w*h*3/2+y*w:][:w]
				if !bytes.Equal(got, want.y[y*mw*16:][:w]) {
					t.Fatalf("%v: picture %d differs in row %d", size, i, y)
				}
			}
		}
	}
}

func TestFLACDecodesToItsSamples(t *testing.T) {
	a := &audio{rate: 44100, channels: [][]float32{make([]float32, 10000), make([]float32, 10000)}}
	for i := range a.channels[0] {
		a.channels[0][i] = float32(math.Sin(float64(i) / 20))
	}
	dir := t.TempDir()
	putFile(t, dir, "x.flac", encodeFLAC(a))
	output(t, "flac", "-s", "-t", filepath.Join(dir, "x.flac"))
	output(t, "flac", "-s", "-d", filepath.Join(dir, "x.flac"), "-o", filepath.Join(dir, "x.wav"))
	b, err := os.ReadFile(filepath.Join(dir, "x.wav"))
	if err != nil {
		t.Fatal(err)
	}
	back, ok := decodeWAV(b)
	if !ok || back.rate != 44100 || len(back.channels) != 2 || back.length() != 10000 {
		t.Fatalf("came back as %+v", back)
	}
	for i, v := range a.channels[0] {
		if math.Abs(float64(v-back.channels[0][i])) > 1e-4 || back.channels[1][i] != 0 {
			t.Fatalf("sample %d: %v, want %v", i, back.channels[0][i], v)
		}
	}
}

func TestFLACFrameNumbers(t *testing.T) {
	for _, tc := range []struct {
		n    int
		want string
	}{{0, "\x00"}, {0x7f, "\x7f"}, {0x80, "\u0080"}, {0x7ff, "\u07ff"}, {0x800, "\u0800"}, {0xffff, "\uffff"}, {0x10000, "\U00010000"}} {
		if got := string(flacNumber(tc.n)); got != tc.want {
			t.Errorf("%#x: % x, want % x", tc.n, got, tc.want)
		}
	}
}

func TestAPNG(t *testing.T) {
	in := noisyFrames(3, 20, 10)
	b, err := apng(in, 10)
	if err != nil {
		t.Fatal(err)
	}
	b = withText(b, []textEntry{{"prompt", "{}"}})
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	samePicture(t, img, in.image(0))
	file := filepath.Join(t.TempDir(), "x.png")
	putFile(t, filepath.Dir(file), "x.png", b)
	raw := output(t, "ffmpeg", "-v", "error", "-f", "apng", "-i", file, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	sameFrames(t, raw, in)
}

func TestWebPAnimation(t *testing.T) {
	in := noisyFrames(3, 20, 10)
	b, err := animatedWebP(in, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := webpFrames(b); got != 3 {
		t.Errorf("%d frames", got)
	}
}

// webpFrames walks the chunks of an animation.
func webpFrames(b []byte) (n int) {
	for b = b[12:]; len(b) >= 8; {
		size := int(b[4]) | int(b[5])<<8 | int(b[6])<<16 | int(b[7])<<24
		if string(b[:4]) == "ANMF" {
			n++
		}
		b = b[min(len(b), 8+size+size%2):]
	}
	return n
}

func sameFrames(t *testing.T, raw []byte, in *picture) {
	t.Helper()
	size := in.w * in.h * 3
	if len(raw) != len(in.frames)*size {
		t.Fatalf("%d bytes, want %d", len(raw), len(in.frames)*size)
	}
	for n, f := range in.frames {
		for i, v := range f {
			if raw[n*size+i] != level(v) {
				t.Fatalf("value %d of frame %d is %d, want %d", i, n, raw[n*size+i], level(v))
			}
		}
	}
}

func samePicture(t *testing.T, got, want image.Image) {
	t.Helper()
	if got.Bounds().Size() != want.Bounds().Size() {
		t.Fatalf("size %v, want %v", got.Bounds().Size(), want.Bounds().Size())
	}
	for y := range want.Bounds().Dy() {
		for x := range want.Bounds().Dx() {
			r, g, b, a := got.At(got.Bounds().Min.X+x, got.Bounds().Min.Y+y).RGBA()
			r2, g2, b2, a2 := want.At(want.Bounds().Min.X+x, want.Bounds().Min.Y+y).RGBA()
			if r>>8 != r2>>8 || g>>8 != g2>>8 || b>>8 != b2>>8 || a>>8 != a2>>8 {
				t.Fatalf("pixel %d,%d differs", x, y)
			}
		}
	}
}

func putFile(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
