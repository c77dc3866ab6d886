package packs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/layer"
)

// HashFolder is the SHA-256 of a folder's files that keep accepts: of their
// names, whether they can be run, and their bytes. Times and owners do not
// count.
func HashFolder(dir string, keep func(rel string, dir bool) bool) (string, error) {
	entries, err := layer.Tree(dir, "", keep)
	if err != nil {
		return "", Escapes(err)
	}
	slices.SortFunc(entries, func(a, b layer.Entry) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, e := range entries {
		switch {
		case e.Dir:
			continue
		case e.Link != "":
			fmt.Fprintf(h, "link %q %q\n", e.Name, e.Link)
			continue
		}
		sum := sha256.New()
		r, err := e.Open()
		if err == nil {
			_, err = io.Copy(sum, r)
			err = errors.Join(err, r.Close())
		}
		if err != nil {
			return "", fmt.Errorf("hashing the folder %s: %w", dir, err)
		}
		fmt.Fprintf(h, "file %o %q %x\n", e.Mode, e.Name, sum.Sum(nil))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Escapes explains a link that would carry a file of this machine into an
// image.
func Escapes(err error) error {
	var e *layer.EscapeError
	if !errors.As(err, &e) {
		return err
	}
	return &diag.Error{Code: "link_escapes", Class: diag.ClassCheck, Err: err,
		Message: "a link would put a file from outside into the image", Facts: [][2]string{{"link", e.Path}, {"to", e.Target}},
		Help: "replace the link by the file, or remove it"}
}
