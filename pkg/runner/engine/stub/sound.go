package stub

import (
	"math"
	"os"
	"path/filepath"
	"strings"
)

// audio is one sound: samples from -1 to 1 by channel.
type audio struct {
	rate     int // per second
	channels [][]float32
}

func (a *audio) length() int {
	if len(a.channels) == 0 {
		return 0
	}
	return len(a.channels[0])
}

// video is pictures at a rate, with a sound perhaps, or a file that was
// loaded, which the stub hands on but does not decode.
type video struct {
	p     *picture
	sound *audio
	fps   float64
	file  string
}

func mediaNodes(m map[string]nodeFunc) {
	m["EmptyAudio"], m["LoadAudio"], m["SaveAudio"], m["PreviewAudio"] = emptyAudio, loadAudio, saveAudio, previewAudio
	m["TrimAudioDuration"], m["AudioAdjustVolume"] = trimAudio, adjustVolume
	m["CreateVideo"], m["LoadVideo"], m["SaveVideo"], m["GetVideoComponents"] = createVideo, loadVideo, saveVideo, videoComponents
	m["SaveAudioMP3"], m["SaveAudioOpus"], m["SaveAudioAdvanced"] = noWriter("MP3"), noWriter("Opus"), noWriter("lossy audio")
	m["SaveWEBM"], m["SaveSVGNode"], m["SaveGLB"] = noWriter("VP9 or AV1"), noWriter("SVG"), noWriter("GLB")
}

// noWriter is for formats that nothing in Go writes: an error is better than no
// file, or a file of another format under the name.
func noWriter(format string) nodeFunc {
	return func(*call) ([]any, *object, *exception) {
		return nil, nil, raise("RuntimeError", "the stub engine has no "+format+" encoder; run this workflow on ComfyUI itself")
	}
}

func (c *call) audio(name string) *audio {
	a, ok := c.args[name].(*audio)
	if !ok {
		panic(raisef("TypeError", "%s: input %s is no AUDIO", c.class.Name, name))
	}
	return a
}

// tone is a second of sound whose pitch the key decides: what stands for a
// generated sound.
func tone(key string) *audio {
	const rate = 44100
	a := &audio{rate: rate, channels: [][]float32{make([]float32, rate)}}
	pitch := 220 + float64(seedOf(key)%440)
	for i := range a.channels[0] {
		a.channels[0][i] = float32(0.2 * math.Sin(2*math.Pi*pitch*float64(i)/rate))
	}
	return a
}

func emptyAudio(c *call) ([]any, *object, *exception) {
	rate, n := c.int("sample_rate", 44100), c.int("channels", 2)
	if rate < 1 || rate >= 1<<20 {
		return nil, nil, raise("RuntimeError", "no such sample rate")
	}
	length := int(math.RoundToEven(min(1e15, c.num("duration", 60)*float64(rate))))
	room(n, length)
	a := &audio{rate: rate}
	for range n {
		a.channels = append(a.channels, make([]float32, length))
	}
	return one(a)
}

// loadAudio reads WAV. Other formats have no decoder in Go: a tone stands for
// them, whose length is not the file's.
func loadAudio(c *call) ([]any, *object, *exception) {
	if a, ok := decodeWAV(c.open("audio")); ok {
		return one(a)
	}
	return one(tone(c.key))
}

func trimAudio(c *call) ([]any, *object, *exception) {
	a, start := c.audio("audio"), c.num("start_index", 0)
	at := func(sec float64) int { return clamp(round(sec*float64(a.rate)), 0, a.length()) }
	if start < 0 {
		start += float64(a.length()) / float64(a.rate)
	}
	from, to := at(start), at(start+c.num("duration", 60))
	if from >= to {
		return nil, nil, raise("ValueError", "the start must lie before the end and within the sound")
	}
	out := &audio{rate: a.rate}
	for _, ch := range a.channels {
		out.channels = append(out.channels, ch[from:to])
	}
	return one(out)
}

// adjustVolume takes decibels.
func adjustVolume(c *call) ([]any, *object, *exception) {
	a, by := c.audio("audio"), float32(math.Pow(10, c.num("volume", 1)/20))
	out := &audio{rate: a.rate}
	for _, ch := range a.channels {
		louder := make([]float32, len(ch))
		for i, v := range ch {
			louder[i] = v * by
		}
		out.channels = append(out.channels, louder)
	}
	return one(out)
}

// writeFLAC stores a sound; since 0.25 names have no underscore at their end.
func (c *call) writeFLAC(kind, prefix string) ([]any, *object, *exception) {
	a := c.audio("audio")
	t, ex := c.target(kind, prefix)
	if ex != nil {
		return nil, nil, ex
	}
	t.bare = c.r.c.since(25)
	f, ex := t.write(kind, ".flac", encodeFLAC(a))
	return []any{a}, obj("audio", []any{f}), ex
}

func saveAudio(c *call) ([]any, *object, *exception) {
	return c.writeFLAC("output", c.text("filename_prefix", "audio/ComfyUI"))
}

func previewAudio(c *call) ([]any, *object, *exception) { return c.writeFLAC("temp", c.tempPrefix()) }

func createVideo(c *call) ([]any, *object, *exception) {
	v := &video{p: c.image("images"), fps: c.num("fps", 30)}
	v.sound, _ = c.args["audio"].(*audio)
	return one(v)
}

func loadVideo(c *call) ([]any, *object, *exception) {
	return one(&video{file: c.r.c.annotated(c.text("file", "")), fps: 24})
}

// saveVideo writes H.264 in MP4, without the sound. A video that was loaded is
// copied.
func saveVideo(c *call) ([]any, *object, *exception) {
	v, ok := c.args["video"].(*video)
	if !ok {
		return nil, nil, raise("TypeError", "SaveVideo: input video is no VIDEO")
	}
	t, ex := c.target("output", c.text("filename_prefix", "video/ComfyUI"))
	if ex != nil {
		return nil, nil, ex
	}
	ext, b := ".mp4", []byte(nil)
	if v.file != "" {
		var err error
		if b, err = os.ReadFile(v.file); err != nil {
			return nil, nil, raise("FileNotFoundError", err.Error())
		}
		ext = strings.ToLower(filepath.Ext(v.file))
	} else if b = encodeMP4(v.p, v.fps, c.r.interrupted); b == nil {
		return nil, nil, nil
	}
	f, ex := t.write("output", ext, b)
	return []any{v}, obj("images", []any{f}, "animated", []any{true}), ex
}

// videoComponents takes a video apart; the pictures of a loaded file say STUB.
func videoComponents(c *call) ([]any, *object, *exception) {
	v, ok := c.args["video"].(*video)
	if !ok {
		return nil, nil, raise("TypeError", "GetVideoComponents: input video is no VIDEO")
	}
	p, a := v.p, v.sound
	if p == nil {
		p = c.stubPicture(512, 320, 16)
	}
	if a == nil {
		a = &audio{rate: 44100, channels: [][]float32{{0}}}
	}
	return []any{p, a, v.fps}, nil, nil
}
