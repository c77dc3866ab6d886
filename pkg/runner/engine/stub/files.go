package stub

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/HugoSmits86/nativewebp"
)

// view is GET /view.
func (c *core) view(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !q.Has("filename") {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	name, typ := q.Get("filename"), q.Get("type")
	for _, f := range []string{"output", "input", "temp"} {
		if rest, ok := strings.CutSuffix(name, " ["+f+"]"); ok {
			name, typ = rest, f
		}
	}
	if typ == "" {
		typ = "output"
	}
	if name == "" || name[0] == '/' || strings.Contains(name, "..") || typ != "output" && typ != "input" && typ != "temp" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	root := filepath.Join(c.o.Dir, typ)
	dir := filepath.Join(root, filepath.FromSlash(q.Get("subfolder")))
	if dir != root && !strings.HasPrefix(dir, root+string(filepath.Separator)) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	base := path.Base(filepath.ToSlash(name))
	file := filepath.Join(dir, base)
	st, err := os.Stat(file)
	if err != nil || st.IsDir() {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Disposition", fmt.Sprintf(`filename="%s"`, base))
	if q.Has("preview") || q.Has("channel") {
		c.reencode(w, file, q.Get("preview"), q.Get("channel"))
		return
	}
	f, err := os.Open(file)
	if err != nil {
		broken(w)
		return
	}
	defer f.Close()
	ct := mime.TypeByExtension(filepath.Ext(file))
	if ct == "" {
		ct = "application/octet-stream"
	}
	if t, _, _ := strings.Cut(ct, ";"); t == "text/html" || t == "text/javascript" || t == "text/css" {
		ct = "application/octet-stream"
	}
	w.Header().Set("Content-Type", ct)
	http.ServeContent(w, r, "", st.ModTime(), f)
}

func (c *core) reencode(w http.ResponseWriter, file, preview, channel string) {
	b, err := os.ReadFile(file)
	if err != nil {
		broken(w)
		return
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		broken(w)
		return
	}
	flat := image.NewNRGBA(img.Bounds())
	draw.Draw(flat, flat.Bounds(), img, img.Bounds().Min, draw.Src)
	var out bytes.Buffer
	ct := "image/png"
	format, _, _ := strings.Cut(preview, ";")
	switch {
	case channel == "rgb" || channel == "a":
		for i := 0; i < len(flat.Pix); i += 4 {
			if channel == "a" {
				a := flat.Pix[i+3]
				flat.Pix[i], flat.Pix[i+1], flat.Pix[i+2] = a, a, a
			}
			flat.Pix[i+3] = 255
		}
		err = png.Encode(&out, flat)
	case format == "jpeg":
		ct = "image/jpeg"
		err = jpeg.Encode(&out, flat, &jpeg.Options{Quality: 90})
	default:
		ct = "image/webp"
		err = nativewebp.Encode(&out, flat, nil)
	}
	if err != nil {
		broken(w)
		return
	}
	w.Header().Set("Content-Type", ct)
	_, _ = w.Write(out.Bytes())
}

// upload is POST /upload/image and /upload/mask.
func (c *core) upload(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseMultipartForm(32 << 20); err != nil { //nolint:gosec // the body is limited in handler
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
			return
		}
		broken(w)
		return
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }()
	f, head, err := r.FormFile("image")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	defer f.Close()
	typ := r.FormValue("type")
	if typ == "" {
		typ = "input"
	}
	if head.Filename == "" || typ != "input" && typ != "temp" && typ != "output" {
		broken(w)
		return
	}
	root := filepath.Join(c.o.Dir, typ)
	sub := r.FormValue("subfolder")
	dir := filepath.Join(root, filepath.FromSlash(sub))
	if dir != root && !strings.HasPrefix(dir, root+string(filepath.Separator)) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(f)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		broken(w)
		return
	}
	name := filepath.Base(head.Filename)
	overwrite := r.FormValue("overwrite") == "true" || r.FormValue("overwrite") == "1"
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := 1; !overwrite; i++ {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || bytes.Equal(have, b) {
			break
		}
		name = fmt.Sprintf("%s (%d)%s", stem, i, ext)
	}
	if strings.HasSuffix(r.URL.Path, "/mask") {
		if b, err = c.maskOnto(b, r.FormValue("original_ref")); err != nil {
			broken(w)
			return
		}
	}
	if b != nil {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			broken(w)
			return
		}
	}
	answer(w, 200, obj("name", name, "subfolder", sub, "type", typ))
}
