package packs

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/git"
)

// Limits of an archive.
const (
	maxEntries  = 200_000
	maxUnpacked = 8 << 30 // bytes
)

// Unzip writes an archive's files to dir, which appears when it is complete;
// one that is there already is left as it is. Nothing in the archive can lead
// out of dir.
func Unzip(archive, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	z, err := zip.OpenReader(archive)
	if err != nil {
		return badArchive(err)
	}
	defer z.Close()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the cache of sources: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return fmt.Errorf("making the cache of sources: %w", err)
	}
	defer os.RemoveAll(tmp)
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return fmt.Errorf("making the cache of sources: %w", err)
	}
	defer root.Close()
	left := int64(maxUnpacked)
	if len(z.File) > maxEntries {
		return tooBig()
	}
	for _, f := range z.File {
		if err := unzipOne(root, f, &left); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, serr := os.Stat(dir); serr == nil { // another process was faster
			return nil
		}
		return fmt.Errorf("keeping a source: %w", err)
	}
	return nil
}

func badArchive(err error) error {
	return &diag.Error{Code: "bad_archive", Class: diag.ClassCheck, Err: err, Message: "the archive of a node pack cannot be unpacked", Help: "take another version of it, or its `repo:`"}
}

func tooBig() error {
	return &diag.Error{Code: "source_too_big", Class: diag.ClassCheck, Message: "an archive unpacks to more than a node pack may hold", Help: fmt.Sprintf("at most %d files and %d GiB", maxEntries, maxUnpacked>>30)}
}

func unzipOne(root *os.Root, f *zip.File, left *int64) error {
	name := strings.ReplaceAll(f.Name, `\`, "/") // written by some tools on Windows
	dir := strings.HasSuffix(name, "/")
	name = strings.TrimSuffix(name, "/")
	if name == "" || path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || strings.ContainsRune(name, 0) || filepath.VolumeName(name) != "" {
		return badArchive(fmt.Errorf("%q is no name of a file", f.Name))
	}
	if dir || f.Mode().IsDir() {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return badArchive(err)
	}
	r, err := f.Open()
	if err != nil {
		return badArchive(err)
	}
	defer r.Close()
	if f.Mode()&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(io.LimitReader(r, 4096))
		if err != nil {
			return badArchive(err)
		}
		if err := git.Inside(name, string(target)); err != nil {
			return err
		}
		return root.Symlink(string(target), name)
	}
	if !f.Mode().IsRegular() {
		return badArchive(fmt.Errorf("%q is no file", f.Name))
	}
	mode := fs.FileMode(0o644)
	if f.Mode()&0o100 != 0 {
		mode = 0o755
	}
	w, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return badArchive(err)
	}
	n, err := io.Copy(w, io.LimitReader(r, *left+1))
	if err := errors.Join(err, w.Close()); err != nil {
		return badArchive(err)
	}
	if *left -= n; *left < 0 {
		return tooBig()
	}
	return nil
}
