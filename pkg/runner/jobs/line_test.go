package jobs

import (
	"errors"
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	// A check opens databases, so a hundred of them would be slow; the command
	// line can ask for more.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestLineOrder(t *testing.T) {
	l := NewLine(time.Minute)
	ctx := t.Context()
	for _, x := range []Ticket{{Job: "b"}, {Job: "c", Priority: 5}, {Job: "a"}, {Job: "d", Priority: -1}} {
		if err := l.Put(ctx, x); err != nil {
			t.Fatal(err)
		}
	}
	if l.Position("c") != 1 || l.Position("d") != 4 || l.Position("x") != 0 || l.Len() != 4 {
		t.Errorf("positions %d %d, length %d", l.Position("c"), l.Position("d"), l.Len())
	}
	var got []string
	for range 5 {
		if lease, err := l.Take(ctx); err != nil {
			t.Fatal(err)
		} else if lease != nil {
			got = append(got, lease.Job)
		}
	}
	if !slices.Equal(got, []string{"c", "a", "b", "d"}) {
		t.Errorf("taken in the order %v", got)
	}
}

// A lease that nobody renews runs out; what its holder does afterwards is
// refused.
func TestLeaseRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine(30 * time.Second)
		ctx := t.Context()
		_ = l.Put(ctx, Ticket{Job: "a", Priority: 3})
		first, _ := l.Take(ctx)
		time.Sleep(20 * time.Second)
		if err := l.Renew(ctx, first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if again, _ := l.Take(ctx); again != nil {
			t.Fatal("a renewed lease was given away")
		}
		time.Sleep(11 * time.Second)
		second, _ := l.Take(ctx)
		if second == nil || second.Job != "a" || second.Priority != 3 {
			t.Fatalf("the job was not given again: %+v", second)
		}
		for name, err := range map[string]error{"renew": l.Renew(ctx, first), "done": l.Done(ctx, first), "back": l.Back(ctx, first, first.Ticket)} {
			if !errors.Is(err, ErrLeaseLost) {
				t.Errorf("%s by the first holder: %v", name, err)
			}
		}
		if err := l.Done(ctx, second); err != nil {
			t.Error(err)
		}
	})
}

func TestLineNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine(time.Minute)
		ctx := t.Context()
		at := time.Now().Add(time.Minute)
		_ = l.Put(ctx, Ticket{Job: "a", NotBefore: at})
		if lease, _ := l.Take(ctx); lease != nil || !l.Next().Equal(at) {
			t.Fatalf("taken too early: %+v, next %v", lease, l.Next())
		}
		_ = l.Put(ctx, Ticket{Job: "b"})
		if lease, _ := l.Take(ctx); lease == nil || lease.Job != "b" {
			t.Fatalf("the other does not pass: %+v", lease)
		}
		time.Sleep(time.Minute)
		if lease, _ := l.Take(ctx); lease == nil || lease.Job != "a" {
			t.Fatalf("not taken in time: %+v", lease)
		}
	})
}

// Whatever is done to a line, every job is in exactly one place.
func TestLineAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLine(time.Hour)
		ctx := t.Context()
		waiting, leased := map[string]bool{}, map[string]*Lease{}
		job := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				if id := job.Draw(t, "job"); leased[id] == nil {
					_ = l.Put(ctx, Ticket{Job: id, Priority: rapid.IntRange(-2, 2).Draw(t, "priority")})
					waiting[id] = true
				}
			},
			"take": func(t *rapid.T) {
				lease, err := l.Take(ctx)
				if err != nil || (lease == nil) != (len(waiting) == 0) {
					t.Fatalf("%d wait, the line gives %v %v", len(waiting), lease, err)
				}
				if lease != nil {
					if !waiting[lease.Job] {
						t.Fatalf("%s does not wait", lease.Job)
					}
					delete(waiting, lease.Job)
					leased[lease.Job] = lease
				}
			},
			"done": func(t *rapid.T) {
				id := job.Draw(t, "job")
				if lease := leased[id]; lease != nil {
					if err := l.Done(ctx, lease); err != nil {
						t.Fatal(err)
					}
					delete(leased, id)
				}
			},
			"back": func(t *rapid.T) {
				id := job.Draw(t, "job")
				if lease := leased[id]; lease != nil {
					if err := l.Back(ctx, lease, Ticket{Job: id}); err != nil {
						t.Fatal(err)
					}
					delete(leased, id)
					waiting[id] = true
				}
			},
			"remove": func(t *rapid.T) {
				id := job.Draw(t, "job")
				was, _ := l.Remove(ctx, id)
				if was != waiting[id] {
					t.Fatalf("removing %s gives %v", id, was)
				}
				delete(waiting, id)
			},
			"": func(t *rapid.T) {
				if l.Len() != len(waiting) {
					t.Fatalf("the line has %d, the model %d", l.Len(), len(waiting))
				}
			},
		})
	})
}
