package cas

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func put(t *testing.T, s *Store, text, want string) (Blob, error) {
	t.Helper()
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	return w.Commit(want)
}

func TestStoreKeepsByHash(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "cas"))
	if _, ok := s.Has(helloSum); ok {
		t.Fatal("an empty store has it")
	}
	b, err := put(t, s, "hello", helloSum)
	if err != nil || b != (Blob{SHA256: helloSum, Size: 5}) {
		t.Fatalf("%+v, %v", b, err)
	}
	b, err = put(t, s, "hello", "")
	if err != nil || !b.Existed {
		t.Fatalf("second time: %+v, %v", b, err)
	}
	r, err := s.Open(helloSum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, _ := io.ReadAll(r); string(got) != "hello" {
		t.Errorf("read %q", got)
	}
	assertNoLeftovers(t, s)
}

func TestWrongHashIsNotKept(t *testing.T) {
	s := Open(t.TempDir())
	b, err := put(t, s, "jello", helloSum)
	var wrong *WrongHashError
	if !errors.As(err, &wrong) || wrong.Want != helloSum || wrong.Got != b.SHA256 {
		t.Fatalf("got %v", err)
	}
	if _, ok := s.Has(b.SHA256); ok {
		t.Error("the wrong bytes were kept")
	}
	assertNoLeftovers(t, s)
}

func TestVerifyRemovesDamage(t *testing.T) {
	s := Open(t.TempDir())
	if _, err := put(t, s, "hello", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(helloSum); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.Path(helloSum), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(helloSum), []byte("hellO"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(helloSum); err == nil {
		t.Error("damage was not seen")
	}
	if _, ok := s.Has(helloSum); ok {
		t.Error("the damaged file is still there")
	}
}

func TestIndexForgetsChangedFiles(t *testing.T) {
	s := Open(t.TempDir())
	path := filepath.Join(t.TempDir(), "model")
	old := time.Now().Add(-time.Hour)
	write := func(text string, at time.Time) os.FileInfo {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi
	}
	fi := write("hello", old)
	if err := s.Remember(path, fi, helloSum); err != nil {
		t.Fatal(err)
	}
	if sum, ok := s.Lookup(path, fi); !ok || sum != helloSum {
		t.Errorf("not remembered: %q %v", sum, ok)
	}
	if _, ok := s.Lookup(path, write("hello!", old)); ok {
		t.Error("another size, still known")
	}
	if _, ok := s.Lookup(path, write("jello", old.Add(time.Second))); ok {
		t.Error("another time, still known")
	}
	// A file that has just changed may change again within the same tick.
	fresh := write("fresh", time.Now())
	if err := s.Remember(path, fresh, helloSum); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Lookup(path, fresh); ok {
		t.Error("a file changed a moment ago was recorded")
	}
}

func assertNoLeftovers(t *testing.T, s *Store) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(s.Dir(), "tmp"))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 0 {
		t.Errorf("%d temporary files are left", len(list))
	}
}
