// Package layer turns files into layers of an OCI image, the same bytes from
// the same content on every machine: sorted paths with their parents, time 0,
// owner root, modes 0644 and 0755, PAX records only where a name or size needs
// them. Big files become uncompressed layers that are never copied: they are
// replayed from the file whenever somebody reads the layer.
package layer

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Entry is one file, folder or link of a layer.
type Entry struct {
	Name string // with slashes, from the root, without one in front
	Mode fs.FileMode
	Dir  bool
	Link string // target of a symbolic link
	Size int64  // bytes of a file
	Open func() (io.ReadCloser, error)
}

// Modes of what is packed; a folder for everyone is 01777.
const (
	ModeFile = 0o644
	ModeExec = 0o755
	ModeDir  = 0o755
)

// Bytes is a file made of b.
func Bytes(name string, b []byte, mode fs.FileMode) Entry {
	return Entry{Name: name, Mode: mode, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

// Folder is an empty folder.
func Folder(name string, mode fs.FileMode) Entry { return Entry{Name: name, Dir: true, Mode: mode} }

// File is the regular file at path on this machine, under another name.
func File(name, file string) (Entry, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return Entry{}, fmt.Errorf("packing a file: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return Entry{}, fmt.Errorf("packing %s: it is not a regular file", file)
	}
	return Entry{Name: name, Mode: normal(fi.Mode()), Size: fi.Size(), Open: opener(file)}, nil
}

func opener(file string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(file) }
}

func normal(m fs.FileMode) fs.FileMode {
	if m&0o100 != 0 {
		return ModeExec
	}
	return ModeFile
}

// EscapeError is a link that leads out of the folder that is packed.
type EscapeError struct{ Path, Target string }

// Error names link and target.
func (e *EscapeError) Error() string {
	return fmt.Sprintf("the link %s leads out of its folder, to %s", e.Path, e.Target)
}

// Tree is the folder root with all that keep accepts, under prefix. Keep gets
// paths relative to root, with slashes; refusing a folder leaves out all that
// is in it. A link that leads out of root is an *EscapeError, because it would
// put a file of this machine into the image. Devices and sockets are left out.
func Tree(root, prefix string, keep func(rel string, dir bool) bool) ([]Entry, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, fmt.Errorf("packing a folder: %w", err)
	}
	out := []Entry{}
	err = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(real, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel == "." {
			return nil
		}
		if !keep(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, ok, err := treeEntry(real, p, rel, d)
		if ok {
			e.Name = path.Join(prefix, rel)
			out = append(out, e)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("packing the folder %s: %w", root, err)
	}
	return out, nil
}

func treeEntry(root, p, rel string, d fs.DirEntry) (Entry, bool, error) {
	switch {
	case d.IsDir():
		return Folder("", ModeDir), true, nil
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(p)
		if err != nil {
			return Entry{}, false, err
		}
		to := filepath.ToSlash(target)
		inside := path.Join(path.Dir(rel), to)
		if path.IsAbs(to) || filepath.IsAbs(target) || inside == ".." || strings.HasPrefix(inside, "../") {
			return Entry{}, false, &EscapeError{Path: filepath.Join(root, filepath.FromSlash(rel)), Target: target}
		}
		return Entry{Link: to, Mode: 0o777}, true, nil
	case d.Type().IsRegular():
		fi, err := d.Info()
		if err != nil {
			return Entry{}, false, err
		}
		return Entry{Mode: normal(fi.Mode()), Size: fi.Size(), Open: opener(p)}, true, nil
	}
	return Entry{}, false, nil
}

// arrange sorts entries, adds the folders above them and refuses a path that
// is there twice.
func arrange(entries []Entry) ([]Entry, error) {
	byName := map[string]Entry{}
	for _, e := range entries {
		if e.Name == "" || path.IsAbs(e.Name) || path.Clean(e.Name) != e.Name || strings.HasPrefix(e.Name, "..") {
			return nil, fmt.Errorf("packing: %q is no path inside an image", e.Name)
		}
		if old, ok := byName[e.Name]; ok && (!old.Dir || !e.Dir) {
			return nil, fmt.Errorf("packing: two files want to be /%s", e.Name)
		}
		byName[e.Name] = e
	}
	for _, e := range entries {
		for dir := path.Dir(e.Name); dir != "."; dir = path.Dir(dir) {
			above, ok := byName[dir]
			if ok && !above.Dir {
				return nil, fmt.Errorf("packing: /%s is a file and a folder at once", dir)
			}
			if !ok {
				byName[dir] = Folder(dir, ModeDir)
			}
		}
	}
	out := make([]Entry, 0, len(byName))
	for _, e := range byName {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
