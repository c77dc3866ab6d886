package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/cas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample() []Entry {
	return []Entry{
		Bytes("opt/b/run", []byte("#!/bin/sh\n"), ModeExec),
		Bytes("opt/a.txt", bytes.Repeat([]byte("x"), 700), ModeFile),
		{Name: "opt/b/link", Link: "run", Mode: 0o777},
		Folder("tmp", 0o777),
		Bytes("opt/"+strings.Repeat("long/", 60)+"ünï", []byte("deep"), ModeFile),
		Bytes("opt/empty", nil, ModeFile),
	}
}

// The digest below belongs to Envelope. If this test fails, layers of the same
// content get other digests than before: every user's cache and every
// registry's deduplication is lost once. If that was not meant, undo it; if it
// was, change Envelope and the digest together.
func TestEnvelope(t *testing.T) {
	const want = "de4b280c5c0df3f9f5a545d74fe2140c1e9d9581d62672f1d7ecd5cfeb778d2d"
	a, err := NewArchive(sample())
	if err != nil {
		t.Fatal(err)
	}
	got, err := HashArchive(t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	z, _, err := Zip(t.Context(), cas.Open(t.TempDir()), sample())
	if err != nil {
		t.Fatal(err)
	}
	const wantZip = "c7efea6ecb87ecbc460cdfaa69f12afe99a4cd2e59b9e63d081a9d140db43dd0"
	if z.digest.Hex != wantZip {
		t.Errorf("compressed digest %s, want %s", z.digest.Hex, wantZip)
	}
	if z.diffID.Hex != want {
		t.Errorf("diffID %s, want %s", z.diffID.Hex, want)
	}
}

func TestArchiveIsATar(t *testing.T) {
	a, err := NewArchive(sample())
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(a.Reader(), mustRead(t, a.Reader())); err != nil {
		t.Error(err)
	}
	b := mustRead(t, a.Reader())
	if int64(len(b)) != a.Size() {
		t.Errorf("%d bytes, Size says %d", len(b), a.Size())
	}
	got := []string{}
	tr := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s: time %v, owner %d:%d %q", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname)
		}
		if strings.Contains(h.Name, "long/long") {
			continue
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %o %d %s", h.Name, h.Mode, len(content), h.Linkname))
	}
	want := []string{
		"opt/ 755 0 ", "opt/a.txt 644 700 ", "opt/b/ 755 0 ", "opt/b/link 777 0 run", "opt/b/run 755 10 ",
		"opt/empty 644 0 ", "opt/long/ 755 0 ", "tmp/ 777 0 ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestArchiveRefuses(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"twice":    {Bytes("a", nil, ModeFile), Bytes("a", nil, ModeFile)},
		"both":     {Bytes("a", nil, ModeFile), Bytes("a/b", nil, ModeFile)},
		"escaping": {Bytes("../a", nil, ModeFile)},
		"absolute": {Bytes("/a", nil, ModeFile)},
		"unclean":  {Bytes("a//b", nil, ModeFile)},
	} {
		if _, err := NewArchive(entries); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFileThatChangesSize(t *testing.T) {
	for _, size := range []int64{3, 9} {
		e := Bytes("a", []byte("12345"), ModeFile)
		e.Size = size
		a, err := NewArchive([]Entry{e})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(a.Reader()); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func TestFileSumIsTheLayersDigest(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 1 << 20, 1<<20 + 1, 3 << 20} {
		file := filepath.Join(t.TempDir(), "model")
		content := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var last int64
		c, l, err := HashFile(t.Context(), file, "opt/m/model", func(n int64) { last = n })
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if c != hex.EncodeToString(sum[:]) || last != int64(size) {
			t.Errorf("size %d: content %s, progress %d", size, c, last)
		}
		e, err := File("opt/m/model", file)
		if err != nil {
			t.Fatal(err)
		}
		a, err := NewArchive([]Entry{e})
		if err != nil {
			t.Fatal(err)
		}
		want, err := HashArchive(t.Context(), a, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l != want {
			t.Errorf("size %d: layer %s, want %s", size, l, want)
		}
	}
}

func TestImageOfBothKindsIsValid(t *testing.T) {
	store := cas.Open(t.TempDir())
	z, cached, err := Zip(t.Context(), store, sample())
	if err != nil || cached {
		t.Fatalf("cached %v, %v", cached, err)
	}
	if _, cached, _ = Zip(t.Context(), store, sample()); !cached {
		t.Error("the same layer again is not cached")
	}
	found, ok := FindZipped(store, z.diffID.Hex)
	if !ok || found.digest != z.digest {
		t.Errorf("FindZipped: %v %v", found, ok)
	}
	a, err := NewArchive([]Entry{Bytes("m", []byte("model"), ModeFile)})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := HashArchive(t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The oracle takes every layer for gzipped; the bare one is checked by hand.
	img, err := mutate.AppendLayers(empty.Image, z)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	raw := NewRaw(a, sum)
	for name, open := range map[string]func() (io.ReadCloser, error){"Compressed": raw.Compressed, "Uncompressed": raw.Uncompressed} {
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		h, n, err := v1.SHA256(r)
		if err != nil {
			t.Fatal(err)
		}
		digest, _ := raw.Digest()
		diffID, _ := raw.DiffID()
		size, _ := raw.Size()
		if h != digest || h != diffID || n != size {
			t.Errorf("%s gives %s, %d bytes; the layer says %s, %s, %d", name, h, n, digest, diffID, size)
		}
	}
}

func TestTree(t *testing.T) {
	root := t.TempDir()
	write := func(name string, mode os.FileMode) {
		t.Helper()
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("main.py", 0o600)
	write("bin/run", 0o700)
	write(".git/config", 0o600)
	if err := os.Symlink("../main.py", filepath.Join(root, "bin/link")); err != nil {
		t.Fatal(err)
	}
	keep := func(rel string, dir bool) bool { return rel != ".git" }
	list, err := Tree(root, "opt/x", keep)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range list {
		got = append(got, fmt.Sprintf("%s %o %s", e.Name, e.Mode, e.Link))
	}
	want := []string{"opt/x/bin 755 ", "opt/x/bin/link 777 ../main.py", "opt/x/bin/run 755 ", "opt/x/main.py 644 "}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, target := range []string{"/etc/passwd", "../../etc/passwd", ".."} {
		link := filepath.Join(root, "escape")
		_ = os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		var esc *EscapeError
		if _, err := Tree(root, "opt/x", keep); !errors.As(err, &esc) {
			t.Errorf("link to %s: %v", target, err)
		}
	}
}

func mustRead(t *testing.T, r io.ReadCloser) []byte {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An upload goes on from any byte of a layer.
func TestReadFromTheMiddle(t *testing.T) {
	open := func(s string) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
	}
	a, err := NewArchive([]Entry{
		{Name: "opt/a", Mode: ModeFile, Size: 700, Open: open(strings.Repeat("a", 700))},
		{Name: "opt/empty", Mode: ModeFile},
		{Name: "opt/z", Mode: ModeFile, Size: 512, Open: open(strings.Repeat("z", 512))},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := a.Reader()
	defer r.Close()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at <= a.Size(); at += 41 {
		r, err := a.ReaderAt(at)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, all[at:]) {
			t.Fatalf("from byte %d: %d bytes, %v; want %d", at, len(got), err, len(all)-int(at))
		}
		_ = r.Close()
	}
	if _, err := a.ReaderAt(a.Size() + 1); err == nil {
		t.Error("read behind the end")
	}
}
