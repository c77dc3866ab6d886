package from

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Bounds of an archive.
const (
	maxEntries = 20_000
	// maxMedia bounds what input/ may hold once unpacked, in bytes.
	maxTotal = 4 << 30
	maxRatio = 200 // times the archive's own size; media do not shrink
)

func isZip(src []byte) bool { return bytes.HasPrefix(src, []byte("PK\x03\x04")) }

// archive is an archive whose names and sizes were found to be in order.
type archive struct {
	files map[string]*zip.File
	names []string // in the archive's order
}

// open checks an archive before anything is unpacked.
func open(src []byte) (*archive, error) {
	r, err := zip.NewReader(bytes.NewReader(src), int64(len(src)))
	if err != nil {
		return nil, refuse(CPack, "download or pack it again", "not a complete zip archive: %s", strings.TrimPrefix(err.Error(), "zip: "))
	}
	if len(r.File) > maxEntries {
		return nil, refuse(CPack, "", "it has %d entries; %d are the most", len(r.File), maxEntries)
	}
	a := &archive{files: map[string]*zip.File{}}
	var total uint64
	for _, f := range r.File {
		if err := safe(f); err != nil {
			return nil, err
		}
		total += f.UncompressedSize64
		if total > maxTotal || total > 1<<20 && total/uint64(len(src)) > maxRatio {
			return nil, refuse(CPack, "", "it would unpack to more than %d times its size or %d GB", maxRatio, maxTotal>>30)
		}
		if f.FileInfo().IsDir() {
			continue
		}
		if a.files[f.Name] != nil {
			return nil, refuse(CPack, "", "`%s` is in it twice", f.Name)
		}
		a.files[f.Name] = f
		a.names = append(a.names, f.Name)
	}
	return a, nil
}

// safe refuses names that lead out of the folder that they are unpacked to,
// and entries that are neither files nor folders.
func safe(f *zip.File) error {
	name := strings.TrimSuffix(f.Name, "/")
	if name == "" || path.IsAbs(name) || strings.ContainsAny(name, "\\:\x00") || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") {
		return refuse(CPack, "it was not made by comfy-pack, or was changed; do not unpack it", "the name `%q` leads out of the archive", f.Name)
	}
	if m := f.Mode(); m&(fs.ModeSymlink|fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0 {
		return refuse(CPack, "it was not made by comfy-pack, or was changed; do not unpack it", "`%s` is a link or a device", f.Name)
	}
	return nil
}

// text reads one file; nil where it is not there.
func (a *archive) text(name string) ([]byte, error) {
	f := a.files[name]
	if f == nil {
		return nil, nil
	}
	if f.UncompressedSize64 > maxText {
		return nil, refuse(CPack, "", "`%s` has more than %d MB", name, maxText>>20)
	}
	r, err := f.Open()
	if err != nil {
		return nil, refuse(CPack, "download or pack it again", "`%s` cannot be unpacked: %v", name, err)
	}
	defer r.Close()
	// The size in the archive's list is a claim.
	b, err := io.ReadAll(io.LimitReader(r, maxText+1))
	switch {
	case err != nil:
		return nil, refuse(CPack, "download or pack it again", "`%s` cannot be unpacked: %v", name, err)
	case len(b) > maxText:
		return nil, refuse(CPack, "", "`%s` has more than %d MB", name, maxText>>20)
	}
	return b, nil
}
