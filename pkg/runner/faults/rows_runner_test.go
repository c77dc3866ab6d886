//go:build linux

package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

func TestRow12RunnerKilledWithJobsInEachState(t *testing.T) {
	for _, o := range []struct {
		name    string
		options []option
	}{{"child", nil}, {"remote", []option{remotely}}} {
		t.Run(o.name, func(t *testing.T) {
			w := newWorld(t, o.options...)
			w.ready()
			w.killRunner() // with nothing to lose
			w.ready()
			w.control.write("hold", "1")
			running := w.submit("running", hue(1))
			w.until("running", w.is(running.ID, "running"))
			var waiting []job
			for i := range 20 {
				waiting = append(waiting, w.submit("waiting"+strconv.Itoa(i), hue(2+i)))
			}
			w.killRunner()
			if again := w.submit("running", hue(1)); again.ID != running.ID {
				t.Errorf("the key gives another job after the restart")
			}
			must(t, os.Remove(w.control.path("hold")))
			j := w.wait(running.ID)
			w.picture(j, hue(1))
			// An engine that outlives the runner still has the prompt.
			if want := map[bool]int{false: 2, true: 1}[w.remote]; j.Attempts != want {
				t.Errorf("%d attempts, want %d", j.Attempts, want)
			}
			for i, j := range waiting {
				j = w.wait(j.ID)
				w.picture(j, hue(2+i))
				if j.Attempts != 1 {
					t.Errorf("a job that waited has %d attempts", j.Attempts)
				}
			}
			w.settled()
		})
	}
}

func TestRow13Terminated(t *testing.T) {
	w := newWorld(t, timeouts(contract.Timeouts{DrainMS: 60_000}))
	w.ready()
	w.control.write("hold", "1")
	running := w.submit("running", hue(1))
	w.until("running", w.is(running.ID, "running"))
	waiting := w.submit("waiting", hue(2))
	must(t, w.runner.cmd.Process.Signal(syscall.SIGTERM))
	w.until("draining", func() bool {
		code, _, _, err := w.ask("GET", "/readyz", nil)
		return err == nil && code == http.StatusServiceUnavailable
	})
	if code, b, h, _ := w.ask("POST", "/v1/workflows/draw/jobs", `{"input":{}}`); code != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("a job is answered %d %s while it drains", code, b)
	}
	must(t, os.Remove(w.control.path("hold")))
	<-w.runner.done
	if code := w.runner.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	w.startRunner()
	if j := w.wait(running.ID); j.Attempts != 1 {
		t.Errorf("the running job was broken off: %d attempts", j.Attempts)
	}
	w.picture(w.wait(waiting.ID), hue(2))
	w.settled()
}

func TestRow14SlowReader(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.control.write("hold", "1")
	j := w.submit("watched", hue(1))
	// A connection that asks for everything and reads nothing.
	c, err := net.Dial("tcp", w.settings.Listen)
	must(t, err)
	defer c.Close()
	fmt.Fprintf(c, "GET /v1/jobs/%s/events HTTP/1.1\r\nHost: localhost\r\n\r\n", j.ID)
	must(t, os.Remove(w.control.path("hold")))
	w.picture(w.wait(j.ID), hue(1))
	for i := range 5 {
		w.picture(w.wait(w.submit("other"+strconv.Itoa(i), hue(2+i)).ID), hue(2+i))
	}
	c.Close()
	w.settled()
}

func TestRow15CallerGoesAway(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.control.write("hold", "1")
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/v1/workflows/draw/jobs", strings.NewReader(fmt.Sprintf(`{"input":{"color":%d}}`, hue(1))))
	must(t, err)
	req.Header.Set("Idempotency-Key", "left")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := w.http.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	w.until("a job", func() bool { return len(w.list()) == 1 })
	cancel()
	<-gone
	must(t, os.Remove(w.control.path("hold")))
	w.picture(w.wait(w.submit("left", hue(1)).ID), hue(1))
	w.settled()
}

func TestRow21StoppedForAWhile(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.control.write("hold", "1")
	j := w.submit("a", hue(1))
	w.until("running", w.is(j.ID, "running"))
	must(t, w.runner.cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(200 * time.Millisecond)
	must(t, w.runner.cmd.Process.Signal(syscall.SIGCONT))
	must(t, os.Remove(w.control.path("hold")))
	if j = w.wait(j.ID); j.Attempts != 1 {
		t.Errorf("%d attempts", j.Attempts)
	}
	w.settled()
}

func TestRow24QueueFull(t *testing.T) {
	w := newWorld(t, func(_ *world, c *contract.Contract) { c.Runner.Queue.Max = 2 })
	w.ready()
	w.control.write("hold", "1")
	first := w.submit("running", hue(1))
	w.until("running", w.is(first.ID, "running"))
	w.submit("a", hue(2))
	w.submit("b", hue(3))
	code, b, h, err := w.ask("POST", "/v1/workflows/draw/jobs", `{"input":{}}`)
	after, _ := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || code != http.StatusServiceUnavailable || !bytes.Contains(b, []byte("queue_full")) || after < 1 || after > 300 {
		t.Errorf("%d %s, Retry-After %d", code, b, after)
	}
	must(t, os.Remove(w.control.path("hold")))
	for key, id := range w.accepted {
		if j := w.wait(id); j.Status != "succeeded" {
			t.Errorf("%s is %s", key, j.Status)
		}
	}
	w.settled()
}

func TestRow39TwoRunnersOnOneState(t *testing.T) {
	w := newWorld(t)
	w.ready()
	other := w.settings
	other.Listen = freeAddress(t)
	b, err := json.Marshal(other)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), role+"=runner", settingsVariable+"="+string(b))
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("is in use")) {
		t.Errorf("the second runner: %v %s", err, out)
	}
	w.picture(w.wait(w.submit("a", hue(1)).ID), hue(1))
	w.settled()
}

func TestRow40DamagedOrNewerDatabase(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.wait(w.submit("before", hue(1)).ID)
	file := filepath.Join(w.dir, "state", "jobs.db")
	must(t, w.runner.cmd.Process.Signal(syscall.SIGTERM))
	<-w.runner.done
	b, err := os.ReadFile(file)
	must(t, err)
	for i := 4096; i < len(b); i += 97 {
		b[i] ^= 0x5a
	}
	must(t, os.WriteFile(file, b, 0o600))
	w.startRunner()
	w.ready()
	if aside, _ := filepath.Glob(file + ".damaged-*"); len(aside) == 0 || !w.logged("the job store was damaged") {
		t.Errorf("the damaged database is not put aside: %v", aside)
	}
	w.accepted = map[string]string{}
	must(t, os.RemoveAll(filepath.Join(w.dir, "state", "outputs")))
	w.picture(w.wait(w.submit("after", hue(2)).ID), hue(2))
	w.settled()

	must(t, w.runner.cmd.Process.Signal(syscall.SIGTERM))
	<-w.runner.done
	db, err := sql.Open("sqlite", "file:"+file)
	must(t, err)
	_, err = db.Exec("PRAGMA user_version = 9999")
	must(t, err)
	must(t, db.Close())
	w.startRunner()
	<-w.runner.done
	if w.runner.cmd.ProcessState.ExitCode() == 0 || !w.logged("a newer comfy-runner wrote it") {
		t.Errorf("a newer database: %s", w.tail())
	}
}
