//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// strikes are the faults that chaos picks from, by row of the matrix, and the
// error codes that a job may end with because of them; a fault without codes
// costs no job.
var strikes = []struct {
	name  string
	do    func(w *world)
	codes []string
}{
	{"1 exit 1", arm("exit1"), nil},
	{"1 exit 0", arm("exit0"), nil},
	{"1 sigkill", arm("sigkill"), nil},
	{"1 kill of the idle", func(w *world) { w.killEngine() }, nil},
	{"4 out of memory", arm("oom"), []string{"out_of_memory"}},
	{"4 a node raises", arm("raise"), []string{"node_failed"}},
	{"5 hang", arm("hang"), []string{"engine_stalled"}},
	{"5 deaf", arm("hang-hard"), []string{"engine_stalled", "engine_lost"}},
	{"7 socket drops", arm("ws-drop"), nil},
	{"7 garbage", arm("ws-garbage"), nil},
	{"7 nonsense", arm("ws-nonsense"), nil},
	{"7 silence", arm("ws-silence"), nil},
	{"8 history fails", arm("history-error"), nil},
	{"8 history is late", arm("no-history"), nil},
	{"8 answer is lost", arm("drop-answer"), nil},
	{"9 no file", arm("no-file"), []string{"output_unreadable"}},
	{"9 half a file", arm("half-file"), []string{"output_unreadable"}},
	{"9 a link", arm("link-file"), []string{"output_unreadable"}},
	{"12 kill of the runner", func(w *world) { w.killRunner() }, nil},
	{"13 terminated", func(w *world) {
		if w.runner.cmd.Process.Signal(syscall.SIGTERM) == nil {
			<-w.runner.done
			w.startRunner()
		}
	}, nil},
	{"21 stopped", func(w *world) {
		if w.runner.cmd.Process.Signal(syscall.SIGSTOP) == nil {
			time.Sleep(time.Second)
			_ = w.runner.cmd.Process.Signal(syscall.SIGCONT)
		}
	}, nil},
}

func arm(fault string) func(w *world) {
	return func(w *world) { w.control.write(fault, "1") }
}

// Faults of the matrix come at random while clients submit, wait, cancel and
// ask again, against a model of what was accepted. COMFY_CHAOS_SECONDS says how
// long, COMFY_CHAOS_SEED which faults.
func TestChaos(t *testing.T) {
	seconds, seed := number("COMFY_CHAOS_SECONDS", 10), number("COMFY_CHAOS_SEED", int(time.Now().UnixNano()&0xffff))
	w := newWorld(t, timeouts(contract.Timeouts{StallMS: 1000, DrainMS: 2000}), func(w *world, _ *contract.Contract) { w.settings.CancelTimeout = time.Second })
	w.ready()
	w.control.write("work-ms", "20")
	r := rand.New(rand.NewPCG(uint64(seed), 0)) //nolint:gosec // no secret
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	var faulting, clients sync.WaitGroup
	struck := map[string]int{}
	faulting.Go(func() {
		for time.Now().Before(deadline) {
			time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
			s := strikes[r.IntN(len(strikes))]
			struck[s.name]++
			s.do(w)
		}
	})
	var mu sync.Mutex
	ends := map[string]int{}
	for c := range 6 {
		clients.Go(func() {
			for i := 0; time.Now().Before(deadline); i++ {
				end := w.visit(c, i)
				mu.Lock()
				ends[end]++
				mu.Unlock()
			}
		})
	}
	faulting.Wait()
	clients.Wait()
	w.calm()
	allowed := map[string]bool{"succeeded": true, "canceled": true}
	for _, s := range strikes {
		for _, code := range s.codes {
			allowed[code] = allowed[code] || struck[s.name] > 0
		}
	}
	for end, n := range ends {
		if !allowed[end] {
			t.Errorf("%d jobs ended with %s, which no fault explains", n, end)
		}
	}
	w.settled()
	t.Logf("seed %d: %v after %v", seed, ends, struck)
}

// visit is one client's turn: a job submitted, perhaps twice, perhaps
// cancelled, and followed to its end.
func (w *world) visit(client, i int) string {
	n := client*100_000 + i
	key := fmt.Sprintf("key-%d", n)
	j := w.submit(key, hue(n))
	switch n % 7 {
	case 3:
		w.submit(key, hue(n))
	case 5:
		w.insist("POST", "/v1/jobs/"+j.ID+"/cancel", "")
	}
	j = w.wait(j.ID)
	switch {
	case j.Status == "succeeded":
		w.picture(j, hue(n))
	case j.Error != nil:
		return j.Error.Code
	}
	return j.Status
}

// calm disarms what did not strike.
func (w *world) calm() {
	for _, name := range []string{"exit1", "exit0", "sigkill", "oom", "raise", "hang", "hang-hard", "ws-drop", "ws-garbage", "ws-nonsense", "ws-silence",
		"history-error", "no-history", "drop-answer", "no-file", "half-file", "link-file"} {
		for w.control.takes(name) {
			w.Logf("%s did not strike", strconv.Quote(name))
		}
	}
}
