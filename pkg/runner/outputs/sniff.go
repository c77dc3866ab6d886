package outputs

import (
	"bytes"
	"image"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	_ "image/gif"  // dimensions
	_ "image/jpeg" // dimensions
	_ "image/png"  // dimensions

	_ "golang.org/x/image/bmp"  // dimensions
	_ "golang.org/x/image/tiff" // dimensions
	_ "golang.org/x/image/webp" // dimensions
)

// Kind is what a file is.
type Kind struct {
	ContentType string
	// Type is image, video, audio, text, 3d, latent or file.
	Type string
	Ext  string
}

type magic struct {
	at     int
	prefix string
	kind   Kind
}

var magics = []magic{
	{0, "\x89PNG\r\n\x1a\n", Kind{"image/png", "image", ".png"}},
	{0, "\xff\xd8\xff", Kind{"image/jpeg", "image", ".jpg"}},
	{0, "GIF8", Kind{"image/gif", "image", ".gif"}},
	{8, "WEBP", Kind{"image/webp", "image", ".webp"}},
	{4, "ftypavif", Kind{"image/avif", "image", ".avif"}},
	{4, "ftypqt", Kind{"video/quicktime", "video", ".mov"}},
	{4, "ftypM4A", Kind{"audio/mp4", "audio", ".m4a"}},
	{4, "ftyp", Kind{"video/mp4", "video", ".mp4"}},
	{0, "\x1aE\xdf\xa3", Kind{"video/webm", "video", ".webm"}},
	{0, "fLaC", Kind{"audio/flac", "audio", ".flac"}},
	{8, "WAVE", Kind{"audio/wav", "audio", ".wav"}},
	{0, "OggS", Kind{"audio/ogg", "audio", ".ogg"}},
	{0, "ID3", Kind{"audio/mpeg", "audio", ".mp3"}},
	{0, "\xff\xfb", Kind{"audio/mpeg", "audio", ".mp3"}},
	{0, "\xff\xf3", Kind{"audio/mpeg", "audio", ".mp3"}},
	{0, "glTF", Kind{"model/gltf-binary", "3d", ".glb"}},
	{0, "BM", Kind{"image/bmp", "image", ".bmp"}},
	{0, "II*\x00", Kind{"image/tiff", "image", ".tiff"}},
	{0, "MM\x00*", Kind{"image/tiff", "image", ".tiff"}},
	{0, "%PDF-", Kind{"application/pdf", "file", ".pdf"}},
}

// Sniff tells what a file is by its first bytes. The name counts only where
// the content says nothing: for text formats and safetensors.
func Sniff(head []byte, name string) Kind {
	for _, m := range magics {
		if len(head) >= m.at && bytes.HasPrefix(head[m.at:], []byte(m.prefix)) {
			return m.kind
		}
	}
	ext := strings.ToLower(filepath.Ext(name))
	switch {
	case len(head) > 9 && head[8] == '{' && bytes.Equal(head[4:8], []byte{0, 0, 0, 0}):
		if ext == ".latent" {
			return Kind{"application/octet-stream", "latent", ext}
		}
		return Kind{"application/octet-stream", "file", ".safetensors"}
	case bytes.Contains(head[:min(len(head), 512)], []byte("<svg")):
		return Kind{"image/svg+xml", "file", ".svg"}
	}
	ct := http.DetectContentType(head)
	if strings.HasPrefix(ct, "text/") && !strings.HasPrefix(ct, "text/html") {
		return Kind{"text/plain; charset=utf-8", "text", ".txt"}
	}
	return Kind{"application/octet-stream", "file", ext}
}

// Dimensions reads an image's width and height in pixels from its header; 0
// where they cannot be read.
func Dimensions(file string) (width, height int) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	c, _, err := image.DecodeConfig(f)
	if err != nil {
		return 0, 0
	}
	return c.Width, c.Height
}
