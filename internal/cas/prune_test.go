package cas

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// aged puts a blob into the store that was of use so many days ago.
func aged(t *testing.T, s *Store, text string, days int) string {
	t.Helper()
	b, err := put(t, s, text, "")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
	if err := os.Chtimes(s.Path(b.SHA256), at, at); err != nil {
		t.Fatal(err)
	}
	return b.SHA256
}

func TestPrune(t *testing.T) {
	day := 24 * time.Hour
	ctx := t.Context()
	for _, tc := range []struct {
		name   string
		limits func(sums []string, unit int64) Limits
		gone   []int // by age, oldest first
	}{
		{"nothing said", func([]string, int64) Limits { return Limits{} }, nil},
		{"older", func([]string, int64) Limits { return Limits{Before: time.Now().Add(-6 * day)} }, []int{0, 1}},
		{"older, one kept", func(s []string, _ int64) Limits {
			return Limits{Before: time.Now().Add(-6 * day), Keep: func(sum string) bool { return sum == s[0] }}
		}, []int{1}},
		{"at most two", func(_ []string, u int64) Limits { return Limits{Max: 2 * u} }, []int{0, 1}},
		{"at most two, oldest kept", func(s []string, u int64) Limits {
			return Limits{Max: 2 * u, Keep: func(sum string) bool { return sum == s[0] }}
		}, []int{1, 2}},
		{"dry", func([]string, int64) Limits { return Limits{Max: 1, Dry: true} }, []int{0, 1, 2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Open(t.TempDir())
			var sums []string
			for i, text := range []string{"a", "b", "c", "d"} {
				sums = append(sums, aged(t, s, text, 9-2*i))
			}
			items, err := s.Items()
			if err != nil || len(items) != 4 {
				t.Fatalf("%d items, %v", len(items), err)
			}
			l := tc.limits(sums, items[0].Size)
			gone, err := s.Prune(ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, it := range gone {
				for i, sum := range sums {
					if sum == it.SHA256 {
						got = append(got, i)
					}
				}
			}
			if d := cmp.Diff(tc.gone, got); d != "" {
				t.Error(d)
			}
			for i, sum := range sums {
				_, here := s.Has(sum)
				if removed := !l.Dry && slices.Contains(tc.gone, i); here == removed {
					t.Errorf("%d: here %v", i, here)
				}
			}
		})
	}
}

// Nothing is removed under the hands of another process.
func TestPruneWaitsForNobody(t *testing.T) {
	s := Open(t.TempDir())
	sum := aged(t, s, "a", 9)
	p, err := s.OpenPart(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), Limits{Before: time.Now()}); !errors.Is(err, ErrInUse) {
		t.Errorf("with an open part: %v", err)
	}
	if _, err := p.WriteAt([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Save(1), p.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	release, err := s.Hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), Limits{Before: time.Now()}); !errors.Is(err, ErrInUse) {
		t.Errorf("held: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	gone, err := s.Prune(t.Context(), Limits{Before: time.Now().Add(time.Minute)})
	if err != nil || len(gone) != 2 {
		t.Errorf("%+v, %v", gone, err)
	}
	if _, ok := s.Has(sum); ok {
		t.Error("still there")
	}
	assertNoLeftovers(t, s)
}

// Two cannot have one part; the second waits until it may or its time is up.
func TestPartIsForOne(t *testing.T) {
	s := Open(t.TempDir())
	p, err := s.OpenPart(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.OpenPart(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	other, err := s.OpenPart(t.Context(), "y")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Drop(), other.Drop(), p.Close()); err != nil {
		t.Error(err)
	}
	assertNoLeftovers(t, s)
}
