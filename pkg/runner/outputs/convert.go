package outputs

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"

	"github.com/HugoSmits86/nativewebp"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// defaultQuality is JPEG's where the service says none.
const defaultQuality = 90

// convert changes a picture in a file to what the service asks for: another
// format, or the same without what the engine wrote into it beside the picture.
// Moving pictures and formats that cannot be read are left alone. It reports
// what the file is then.
func convert(file *os.File, kind Kind, animated bool, want jobs.Conversion) (Kind, error) {
	if kind.Type != "image" || animated || kind.ContentType == "image/gif" {
		return kind, nil
	}
	var out bytes.Buffer
	to, ok := formats[want.Format]
	switch {
	case ok && to.ContentType != kind.ContentType, ok && want.Quality > 0 && want.Format == "jpeg":
		if err := encode(&out, file, want); err != nil {
			return kind, err
		}
		kind = to
	case want.Strip:
		raw, err := readAll(file)
		if err != nil {
			return kind, err
		}
		out.Write(strip(raw, kind.ContentType))
	default:
		return kind, nil
	}
	if err := file.Truncate(0); err != nil {
		return kind, fmt.Errorf("converting a picture: %w", err)
	}
	if _, err := file.WriteAt(out.Bytes(), 0); err != nil {
		return kind, fmt.Errorf("converting a picture: %w", err)
	}
	return kind, nil
}

var formats = map[string]Kind{
	"png":  {"image/png", "image", ".png"},
	"jpeg": {"image/jpeg", "image", ".jpg"},
	"webp": {"image/webp", "image", ".webp"},
}

func readAll(file *os.File) ([]byte, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("converting a picture: %w", err)
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("converting a picture: %w", err)
	}
	return b, nil
}

func encode(w io.Writer, file *os.File, want jobs.Conversion) error {
	raw, err := readAll(file)
	if err != nil {
		return err
	}
	img, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("converting a picture: %w", err)
	}
	switch want.Format {
	case "jpeg":
		quality := want.Quality
		if quality <= 0 {
			quality = defaultQuality
		}
		err = jpeg.Encode(w, opaque(img), &jpeg.Options{Quality: min(quality, 100)})
	case "webp":
		err = nativewebp.Encode(w, img, nil)
	default:
		err = png.Encode(w, img)
	}
	if err != nil {
		return fmt.Errorf("converting a picture: %w", err)
	}
	return nil
}

// opaque puts a picture with see-through parts on white: JPEG has none.
func opaque(img image.Image) image.Image {
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		return img
	}
	out := image.NewRGBA(img.Bounds())
	draw.Draw(out, out.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(out, out.Bounds(), img, img.Bounds().Min, draw.Over)
	return out
}
