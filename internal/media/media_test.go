package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	prompt = `{"3":{"class_type":"KSampler","inputs":{}}}`
	save   = `{"nodes":[],"version":0.4}`
)

func be(n int) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(n)))
}

func le(n int) string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

// pngOf is a PNG with the given chunks, name and data in turn.
func pngOf(chunks ...string) string {
	var b bytes.Buffer
	b.WriteString(pngSignature)
	for i := 0; i < len(chunks); i += 2 {
		body := chunks[i] + chunks[i+1]
		b.WriteString(be(len(chunks[i+1])) + body + be(int(crc32.ChecksumIEEE([]byte(body)))))
	}
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s)) // a Buffer takes everything
	_ = z.Close()
	return b.String()
}

// exifOf is an EXIF block with ASCII tags, tag and text in turn.
func exifOf(order binary.AppendByteOrder, texts ...string) string {
	head, u16 := "II*\x00", func(n int) string { return string(order.AppendUint16(nil, uint16(n))) }
	if order.String() == "BigEndian" {
		head = "MM\x00*"
	}
	u32 := func(n int) string { return string(order.AppendUint32(nil, uint32(n))) }
	data := 8 + 2 + 12*len(texts) + 4
	var entries, rest string
	for i, t := range texts {
		entries += u16(0x0110-i) + u16(2) + u32(len(t)+1) + u32(data+len(rest))
		rest += t + "\x00"
	}
	return head + u32(8) + u16(len(texts)) + entries + u32(0) + rest
}

func riff(chunks ...string) string {
	var body string
	for i := 0; i < len(chunks); i += 2 {
		body += chunks[i] + le(len(chunks[i+1])) + chunks[i+1]
		if len(chunks[i+1])%2 == 1 {
			body += "\x00"
		}
	}
	return "RIFF" + le(len(body)+4) + "WEBP" + body
}

func jpegOf(segments ...string) string {
	s := "\xff\xd8"
	for i := 0; i < len(segments); i += 2 {
		n := len(segments[i+1]) + 2
		s += "\xff" + segments[i] + string([]byte{byte(n >> 8), byte(n)}) + segments[i+1]
	}
	return s + "\xff\xda\x00\x02"
}

func boxOf(name string, parts ...string) string {
	body := strings.Join(parts, "")
	return be(len(body)+8) + name + body
}

func dataOf(text string) string { return boxOf("data", be(1), be(0), text) }

// element is a part of a Matroska file.
func element(id, body string) string {
	return id + "\x01" + string(binary.BigEndian.AppendUint64(nil, uint64(len(body)))[1:]) + body
}

func simpleTag(name, text string) string {
	return element("\x67\xc8", element("\x45\xa3", name)+element("\x44\x87", text))
}

func vorbis(texts ...string) string {
	s := le(3) + "Lav" + le(len(texts))
	for _, t := range texts {
		s += le(len(t)) + t
	}
	return s
}

// pages cuts packets into Ogg pages of at most 255 segments.
func pages(packets ...string) string {
	var out, lacing, body string
	flush := func() {
		out += "OggS" + strings.Repeat("\x00", 22) + string([]byte{byte(len(lacing))}) + lacing + body
		lacing, body = "", ""
	}
	for _, p := range packets {
		for {
			n := min(len(p), 255)
			lacing, body, p = lacing+string([]byte{byte(n)}), body+p[:n], p[n:]
			if len(lacing) == 255 {
				flush()
			}
			if n < 255 {
				break
			}
		}
	}
	flush()
	return out
}

func id3Of(version byte, frames ...string) string {
	body := strings.Join(frames, "")
	n := len(body)
	return "ID3" + string([]byte{version, 0, 0, byte(n >> 21 & 0x7f), byte(n >> 14 & 0x7f), byte(n >> 7 & 0x7f), byte(n & 0x7f)}) + body
}

func frameOf(version byte, name, body string) string {
	size := be(len(body))
	if version == 4 {
		n := len(body)
		size = string([]byte{byte(n >> 21 & 0x7f), byte(n >> 14 & 0x7f), byte(n >> 7 & 0x7f), byte(n & 0x7f)})
	}
	return name + size + "\x00\x00" + body
}

func utf16le(s string) string {
	var b []byte
	for _, c := range s {
		b = append(b, byte(c), 0)
	}
	return string(b)
}

const head = "\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00"

// samples are files of every kind with both texts in them.
var samples = map[string]string{
	"PNG tEXt": pngOf("IHDR", head, "tEXt", "prompt\x00"+prompt, "tEXt", "workflow\x00"+save, "IEND", ""),
	"PNG zTXt": pngOf("IHDR", head, "zTXt", "prompt\x00\x00"+deflated(prompt), "zTXt", "workflow\x00\x00"+deflated(save), "IEND", ""),
	"PNG iTXt": pngOf("IHDR", head, "iTXt", "prompt\x00\x00\x00\x00\x00"+prompt, "iTXt", "workflow\x00\x01\x00en\x00x\x00"+deflated(save), "IEND", ""),
	"PNG comf": pngOf("IHDR", head, "IDAT", "x", "comf", "prompt\x00"+prompt, "comf", "workflow\x00"+save, "IEND", ""),
	"PNG eXIf": pngOf("IHDR", head, "eXIf", exifOf(binary.BigEndian, "prompt:"+prompt, "workflow:"+save), "IEND", ""),
	"PNG cut off behind it": pngOf("IHDR", head, "tEXt", "prompt\x00"+prompt, "tEXt", "workflow\x00"+save) +
		be(4) + "IDAT",
	"WebP":              riff("VP8X", "0123456789", "EXIF", exifOf(binary.LittleEndian, "prompt:"+prompt, "workflow:"+save)),
	"WebP, odd chunk":   riff("VP8 ", "abc", "EXIF", "Exif\x00\x00"+exifOf(binary.BigEndian, "Workflow: "+save, "Prompt: "+prompt)),
	"JPEG EXIF":         jpegOf("\xe0", "JFIF", "\xe1", "Exif\x00\x00"+exifOf(binary.BigEndian, "workflow:"+save, "prompt:"+prompt)),
	"JPEG comment":      jpegOf("\xfe", `{"prompt": `+prompt+`, "workflow": `+save+`}`),
	"MP4 keys":          boxOf("ftyp", "isom") + boxOf("mdat", "xx") + boxOf("moov", boxOf("mvhd", "x"), boxOf("udta", boxOf("meta", be(0), boxOf("hdlr", "x"), boxOf("keys", be(0), be(2), boxOf("mdta", "prompt"), boxOf("mdta", "workflow")), boxOf("ilst", boxOf(be(1), dataOf(prompt)), boxOf(be(2), dataOf(save)))))),
	"MP4 comment":       boxOf("ftyp", "isom") + boxOf("moov", boxOf("udta", boxOf("meta", be(0), boxOf("ilst", boxOf("\xa9cmt", dataOf(`{"workflow": `+save+`, "prompt": "`+strings.ReplaceAll(prompt, `"`, `\"`)+`"}`)))))),
	"MP4 named":         boxOf("ftyp", "isom") + boxOf("moov", boxOf("udta", boxOf("meta", be(0), boxOf("ilst", boxOf("----", boxOf("mean", be(0), "x"), boxOf("name", be(0), "prompt"), dataOf(prompt)), boxOf("----", boxOf("name", be(0), "workflow"), dataOf(save)))))),
	"QuickTime":         boxOf("ftyp", "qt  ") + be(1) + "mdat" + be(0) + be(20) + "xxxx" + boxOf("moov", boxOf("meta", boxOf("keys", be(0), be(2), boxOf("mdta", "workflow"), boxOf("mdta", "prompt")), boxOf("ilst", boxOf(be(1), dataOf(save)), boxOf(be(2), dataOf(prompt))))),
	"WebM":              element("\x1a\x45\xdf\xa3", "webm") + element("\x18\x53\x80\x67", element("\x1f\x43\xb6\x75", "frames")+element("\x12\x54\xc3\x67", element("\x73\x73", simpleTag("PROMPT", prompt))+element("\x73\x73", simpleTag("WORKFLOW", save)))),
	"WebM, no sizes":    element("\x1a\x45\xdf\xa3", "webm") + "\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + element("\x12\x54\xc3\x67", element("\x73\x73", simpleTag("COMMENT", `{"prompt":`+prompt+`,"workflow":`+save+`}`))),
	"FLAC":              "fLaC\x00\x00\x00\x02xx" + "\x84\x00" + string([]byte{byte(len(vorbis("prompt="+prompt, "workflow="+save)) >> 8), byte(len(vorbis("prompt="+prompt, "workflow="+save)))}) + vorbis("prompt="+prompt, "workflow="+save),
	"Opus":              pages("OpusHead", "OpusTags"+vorbis("title=x", "PROMPT="+prompt, "workflow="+save), "sound"),
	"Vorbis":            pages("\x01vorbis", "\x03vorbis"+vorbis("prompt="+prompt, "workflow="+save)),
	"MP3, ID3 2.3":      id3Of(3, frameOf(3, "TXXX", "\x00prompt\x00"+prompt), frameOf(3, "TXXX", "\x01\xff\xfe"+utf16le("workflow")+"\x00\x00\xff\xfe"+utf16le(save))),
	"MP3, ID3 2.4":      id3Of(4, frameOf(4, "TXXX", "\x03prompt\x00"+prompt), frameOf(4, "COMM", "\x03engx\x00"+`{"workflow":`+save+`}`)) + "\xff\xfb",
	"GLB":               "glTF" + le(2) + le(0) + le(len(`{"asset":{"extras":{"prompt":`+prompt+`,"workflow":"`+strings.ReplaceAll(save, `"`, `\"`)+`"}}}`)) + "JSON" + `{"asset":{"extras":{"prompt":` + prompt + `,"workflow":"` + strings.ReplaceAll(save, `"`, `\"`) + `"}}}`,
	"latent":            le(len(`{"__metadata__":{"prompt":"`+strings.ReplaceAll(prompt, `"`, `\"`)+`","workflow":"`+strings.ReplaceAll(save, `"`, `\"`)+`"}}`)) + be(0) + `{"__metadata__":{"prompt":"` + strings.ReplaceAll(prompt, `"`, `\"`) + `","workflow":"` + strings.ReplaceAll(save, `"`, `\"`) + `"}}`,
	"large Opus header": pages("OpusHead", "OpusTags"+vorbis("note="+strings.Repeat("x", 100_000), "prompt="+prompt, "workflow="+save)),
}

func TestRead(t *testing.T) {
	for name, file := range samples {
		t.Run(name, func(t *testing.T) {
			if !Is([]byte(file[:HeadSize])) {
				t.Fatal("not known by its first bytes")
			}
			found, err := Read(strings.NewReader(file), int64(len(file)))
			if found == nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(prompt, string(found.Prompt)); diff != "" {
				t.Errorf("prompt (%v): %s", err, diff)
			}
			if diff := cmp.Diff(save, string(found.Workflow)); diff != "" {
				t.Errorf("workflow (%v): %s", err, diff)
			}
			if found.Origin == "" {
				t.Error("no origin")
			}
		})
	}
}

func TestReadNothing(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"no text", pngOf("IHDR", head, "IEND", ""), ""},
		{"settings of another program", pngOf("IHDR", head, "tEXt", "parameters\x00a cat, Steps: 20", "IEND", ""), ""},
		{"a text that is no JSON", pngOf("IHDR", head, "tEXt", "prompt\x00a cat", "IEND", ""), ""},
		{"cut off", pngOf("IHDR", head)[:20], `reading PNG: chunk "IHDR": the file is cut off`},
		{"bad packing", pngOf("IHDR", head, "zTXt", "prompt\x00\x00xx", "IEND", ""), `reading PNG: chunk "zTXt": inflating: zlib: invalid header`},
		{"bomb", pngOf("IHDR", head, "zTXt", "prompt\x00\x00"+deflated(strings.Repeat(" ", MaxText+1)), "IEND", ""), `reading PNG: chunk "zTXt": a text of more than 67108864 bytes`},
		{"box larger than the file", boxOf("ftyp", "isom") + be(1000) + "moov", "reading MP4: the file is cut off"},
		{"circle of EXIF", riff("EXIF", "II*\x00"+le(8)+"\x01\x00"+"\x69\x87\x04\x00"+le(1)+le(8)+le(0)), ""},
		{"no video", element("\x1a\x45\xdf\xa3", "webm") + "\x00", "reading WebM: a number that is none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found, err := Read(strings.NewReader(tc.file), int64(len(tc.file)))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || found == nil || found.Prompt != nil || found.Workflow != nil {
				t.Errorf("found %+v: %s", found, diff)
			}
		})
	}
}

// TestReadsInParts fails when a long video is read whole.
func TestReadsInParts(t *testing.T) {
	tail := samples["MP4 keys"][len(boxOf("ftyp", "isom")+boxOf("mdat", "xx")):]
	r := &counting{head: []byte(boxOf("ftyp", "isom") + be(1) + "mdat" + string(binary.BigEndian.AppendUint64(nil, 1<<40))), tail: []byte(tail), size: 12 + 1<<40 + int64(len(tail))}
	found, err := Read(r, r.size)
	if err != nil || string(found.Prompt) != prompt {
		t.Fatalf("found %+v, %v", found, err)
	}
	if r.read > 10_000 {
		t.Errorf("%d bytes read of a video", r.read)
	}
}

// counting is a file of a terabyte with something at both ends.
type counting struct {
	head, tail []byte
	size       int64
	read       int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.read += len(p)
	for i := range p {
		switch pos := off + int64(i); {
		case pos < int64(len(c.head)):
			p[i] = c.head[pos]
		case pos >= c.size-int64(len(c.tail)):
			p[i] = c.tail[pos-c.size+int64(len(c.tail))]
		default:
			p[i] = 0
		}
	}
	return len(p), nil
}

func TestIsNoMedia(t *testing.T) {
	for _, s := range []string{"", `{"3": {"class_type": "A"}}`, "        {\"3\": {}}", "\xef\xbb\xbf{}", "\xff\xfe{\x00", "name: x\nmodels: []\n"} {
		if Is([]byte(s)) {
			t.Errorf("%q is taken for a picture or video", s)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := Read(bytes.NewReader(b), int64(len(b)))
		if found == nil && err == nil {
			t.Fatal("neither an answer nor an error")
		}
		if found != nil && found.Prompt != nil && found.Prompt[0] != '{' {
			t.Fatalf("prompt %q", found.Prompt)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	file := []byte(pngOf("IHDR", head, "tEXt", "prompt\x00"+prompt, "IDAT", strings.Repeat("x", 1<<20), "IEND", ""))
	for b.Loop() {
		if _, err := Read(bytes.NewReader(file), int64(len(file))); err != nil {
			b.Fatal(err)
		}
	}
}
