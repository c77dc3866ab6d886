//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// number reads a setting of a long run.
func number(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return fallback
}

// A client submits jobs under idempotency keys while the runner, the engine, or
// both are killed every few hundred milliseconds. COMFY_KILL_JOBS says how
// many jobs, COMFY_KILL_RUNS how many runs, COMFY_KILL_SEED which kills.
func TestKill(t *testing.T) {
	jobs, runs, seed := number("COMFY_KILL_JOBS", 60), number("COMFY_KILL_RUNS", 1), number("COMFY_KILL_SEED", 1)
	for i := range runs {
		for _, o := range []struct {
			name    string
			options []option
		}{{"child", nil}, {"remote", []option{remotely}}} {
			t.Run(fmt.Sprintf("%s/%d", o.name, seed+i), func(t *testing.T) { kill(t, jobs, uint64(seed+i), o.options...) })
		}
	}
}

func kill(t *testing.T, jobs int, seed uint64, options ...option) {
	w := newWorld(t, options...)
	work := "60"
	if jobs > 100 {
		work = "20"
	}
	w.control.write("work-ms", work)
	w.ready()
	began := time.Now()
	stop := make(chan struct{})
	var killer sync.WaitGroup
	var kills [3]int
	killer.Go(func() {
		r := rand.New(rand.NewPCG(seed, 0))
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(100+r.IntN(500)) * time.Millisecond):
			}
			which := r.IntN(3)
			kills[which]++
			switch which {
			case 0:
				w.killRunner()
			case 1:
				w.killEngine()
			case 2:
				w.killEngine()
				w.killRunner()
			}
		}
	})
	color := func(i int) int { return hue(i + int(seed)*4096) }
	var clients sync.WaitGroup
	todo := make(chan int)
	ended := make([]job, jobs)
	for range 8 {
		clients.Go(func() {
			for i := range todo {
				key := "key-" + strconv.Itoa(i)
				j := w.submit(key, color(i))
				if i%3 == 0 {
					// A client that lost the answer asks again.
					w.submit(key, color(i))
				}
				ended[i] = w.wait(j.ID)
			}
		})
	}
	for i := range jobs {
		todo <- i
	}
	close(todo)
	clients.Wait()
	close(stop)
	killer.Wait()
	w.ready()
	attempts := 0
	for i, j := range ended {
		attempts += j.Attempts
		w.picture(j, color(i))
		if again := w.submit("key-"+strconv.Itoa(i), color(i)); again.Status != "succeeded" || again.ID != j.ID {
			t.Errorf("key %d gives %s, %s at the end, and gave %s", i, again.ID, again.Status, j.ID)
		}
	}
	w.settled()
	t.Logf("%d jobs, %d attempts; kills: %d of the runner, %d of the engine, %d of both; %s", jobs, attempts, kills[0], kills[1], kills[2], time.Since(began).Round(time.Millisecond))
}
