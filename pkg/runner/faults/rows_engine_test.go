//go:build linux

package faults

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// The numbers of the rows are those of the fault matrix in docs/runner/faults.md.

func retrying(n int) option {
	return func(_ *world, c *contract.Contract) { c.Runner.Retries = &contract.Retries{Max: &n} }
}

func timeouts(t contract.Timeouts) option {
	return func(_ *world, c *contract.Contract) { c.Runner.Timeouts = t }
}

// expect runs one job under a fault and says how it must end.
func (w *world) expect(fault string, color, attempts int, status, code string) job {
	w.Helper()
	w.control.write(fault, "1")
	j := w.wait(w.submit(fault+strconv.Itoa(color), color).ID)
	got := ""
	if j.Error != nil {
		got = j.Error.Code
	}
	if j.Status != status || got != code || attempts > 0 && j.Attempts != attempts {
		w.Errorf("%s: the job is %s %q after %d attempts, want %s %q after %d: %+v", fault, j.Status, got, j.Attempts, status, code, attempts, j.Error)
	}
	if status == "succeeded" {
		w.picture(j, color)
	}
	if w.control.has(fault) {
		w.Errorf("%s did not happen", fault)
	}
	return j
}

// engineStatus is the engine's part of /readyz.
func (w *world) engineStatus() (ready bool, stage, reason string, restarts int, log []string) {
	_, b, _, err := w.ask("GET", "/readyz", nil)
	var s struct {
		Ready  bool
		Engine struct {
			Stage, Reason string
			Restarts      int
			Log           []string
		}
	}
	if err == nil {
		must(w.T, json.Unmarshal(b, &s))
	}
	return s.Ready, s.Engine.Stage, s.Engine.Reason, s.Engine.Restarts, s.Engine.Log
}

func TestRow01EngineExitsInTheMiddle(t *testing.T) {
	w := newWorld(t, retrying(2))
	w.ready()
	for i, fault := range []string{"exit1", "exit0", "sigkill"} {
		w.control.write("hold", "1")
		first := w.submit("first"+fault, hue(10*i))
		w.until("running", w.is(first.ID, "running"))
		second := w.submit("second"+fault, hue(10*i+1))
		w.control.write(fault, "1")
		// The held attempt ends with the engine that holds it.
		w.killEngine()
		w.until("the loss noticed", func() bool { return w.logged(`"the job is run again" job=` + first.ID) })
		must(t, os.Remove(w.control.path("hold")))
		if j := w.wait(first.ID); j.Attempts < 2 || j.Attempts > 3 {
			t.Errorf("%s: %d attempts", fault, j.Attempts)
		}
		if j := w.wait(second.ID); j.Status != "succeeded" {
			t.Errorf("%s: the job that waited is %s", fault, j.Status)
		}
	}
	// One that kills the engine each time is the cause; the others go on.
	w.control.write("exit1", "3")
	poison, next := w.submit("poison", hue(100)), w.submit("next", hue(101))
	if j := w.wait(poison.ID); j.Status != "failed" || j.Error.Code != "engine_lost" || j.Attempts != 3 {
		t.Errorf("poison: %+v", j)
	}
	w.picture(w.wait(next.ID), hue(101))
	if !w.logged("exit status 1") || !w.logged("exit status 0") {
		t.Error("the log does not say how the engine ended")
	}
	w.settled()
}

func TestRow02CrashLoopAtStart(t *testing.T) {
	w := newWorld(t, func(w *world, _ *contract.Contract) { w.control.write("boot-exit", "1000000") })
	w.until("several failures", func() bool { return w.logged("3 failures in a row") })
	ready, _, reason, _, log := w.engineStatus()
	if ready || !strings.Contains(reason, "libcuda") && !strings.Contains(strings.Join(log, "\n"), "libcuda") {
		t.Errorf("ready %v, reason %q, log %q", ready, reason, log)
	}
	if code, _, _, err := w.ask("GET", "/healthz", nil); code != http.StatusOK || err != nil {
		t.Errorf("the process is said to be dead: %d %v", code, err)
	}
	if code, b, h, _ := w.ask("POST", "/v1/workflows/draw/jobs", `{"input":{}}`); code != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("a job is answered %d %s", code, b)
	}
	must(t, os.Remove(w.control.path("boot-exit")))
	w.ready()
	w.picture(w.wait(w.submit("a", hue(1)).ID), hue(1))
	w.settled()
}

func TestRow02ImportFailedAtStart(t *testing.T) {
	w := newWorld(t, func(w *world, c *contract.Contract) {
		w.control.write("import-failed", "1")
		c.Workflows = append(c.Workflows, contract.Workflow{Name: "other", Version: "1", Inputs: []contract.Input{},
			Graph:   json.RawMessage(`{"1":{"class_type":"NoSuchNode","inputs":{},"_meta":{"title":"x"}}}`),
			Outputs: []contract.Output{{Name: "x", Node: "1"}}})
	})
	w.until("the verdict", func() bool { _, stage, _, _, _ := w.engineStatus(); return stage == "unfit" })
	_, _, reason, _, _ := w.engineStatus()
	if !strings.Contains(reason, "broken-pack") || !strings.Contains(reason, "NoSuchNode") || strings.Contains(reason, "EmptyImage") {
		t.Errorf("the reason is %q", reason)
	}
	if code, _, _, _ := w.ask("POST", "/v1/workflows/draw/jobs", `{"input":{}}`); code != http.StatusServiceUnavailable {
		t.Errorf("a job is answered %d", code)
	}
}

func TestRow04OutOfMemory(t *testing.T) {
	w := newWorld(t, func(_ *world, c *contract.Contract) {
		c.Workflows[0].OOM = &contract.OOM{Fallback: []map[string]json.RawMessage{{"size": json.RawMessage("8")}}}
	})
	w.ready()
	j := w.expect("oom", hue(1), 2, "succeeded", "")
	if j.Degraded != nil || !w.control.has("freed") {
		t.Errorf("after freeing memory the job is degraded by %v; freed: %v", j.Degraded, w.control.has("freed"))
	}
	w.control.write("oom", "2")
	if j = w.wait(w.submit("twice", hue(2)).ID); j.Status != "succeeded" || j.Outputs[0].Width != 8 || j.Degraded == nil {
		t.Errorf("with a fallback: %+v", j)
	}
	w.control.write("oom", "3")
	if j = w.wait(w.submit("thrice", hue(3)).ID); j.Status != "failed" || j.Error.Code != "out_of_memory" || j.Attempts != 3 {
		t.Errorf("without any hope: %+v", j)
	}
	if j := w.expect("raise", hue(4), 1, "failed", "node_failed"); j.Error.Retryable {
		t.Error("a node that raises is said to be worth another try")
	}
	w.settled()
}

func TestRow05HangWithoutProgress(t *testing.T) {
	w := newWorld(t, timeouts(contract.Timeouts{StallMS: 400}))
	w.ready()
	w.expect("hang", hue(1), 2, "succeeded", "")
	if _, _, _, restarts, _ := w.engineStatus(); restarts != 0 {
		t.Errorf("the engine was restarted %d times for a prompt that stops when it is told to", restarts)
	}
	w.settled()
}

func TestRow05EngineDeafToInterrupts(t *testing.T) {
	w := newWorld(t, timeouts(contract.Timeouts{StallMS: 300}), func(w *world, _ *contract.Contract) { w.settings.CancelTimeout = 300 * time.Millisecond })
	w.ready()
	w.expect("hang-hard", hue(1), 2, "succeeded", "")
	if _, _, _, restarts, _ := w.engineStatus(); restarts != 1 || !w.logged("an interrupted prompt does not stop") {
		t.Errorf("the engine was restarted %d times", restarts)
	}
	w.settled()
}

func TestRow06LongerThanTheTimeout(t *testing.T) {
	w := newWorld(t, timeouts(contract.Timeouts{JobMS: 300}))
	w.ready()
	w.expect("hang", hue(1), 1, "failed", "timeout")
	w.picture(w.wait(w.submit("next", hue(2)).ID), hue(2))
	w.settled()
}

func TestRow07SocketDropsLiesAndFallsSilent(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for i, fault := range []string{"ws-drop", "ws-garbage", "ws-nonsense", "ws-silence", "no-socket"} {
		if fault == "no-socket" {
			w.control.write(fault, "1")
			w.control.write("ws-drop", "1")
			fault = "ws-drop"
		}
		w.expect(fault, hue(i), 1, "succeeded", "")
	}
	w.settled()
}

func TestRow08HistoryMissingOrWrong(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.expect("history-error", hue(1), 1, "succeeded", "")
	// Not there at once, then never: the prompt is lost and run again.
	w.control.write("no-history", "2")
	j := w.wait(w.submit("late", hue(2)).ID)
	w.picture(j, hue(2))
	if j.Attempts > 2 {
		t.Errorf("%d attempts", j.Attempts)
	}
	w.settled()
}

func TestRow08AnswerToTheSubmissionIsLost(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.expect("drop-answer", hue(1), 1, "succeeded", "")
	w.settled()
}

func TestRow09OutputsMissingOrFalse(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for i, fault := range []string{"no-file", "empty-file", "half-file", "link-file", "traversal"} {
		w.expect(fault, hue(i), 1, "failed", "output_unreadable")
	}
	w.picture(w.wait(w.submit("next", hue(20)).ID), hue(20))
	w.settled()
}

func TestRow10OutputFolderGone(t *testing.T) {
	w := newWorld(t)
	w.ready()
	out := filepath.Join(w.dir, "state", "engine", "output")
	must(t, os.RemoveAll(out))
	w.picture(w.wait(w.submit("gone", hue(1)).ID), hue(1))
	// Something that is no folder stands in its place: the job waits for
	// somebody to mend it.
	must(t, os.RemoveAll(out))
	must(t, os.WriteFile(out, nil, 0o600))
	j := w.submit("blocked", hue(2))
	w.until("the reason in the log", func() bool { return w.logged("making an engine folder") })
	must(t, os.Remove(out))
	w.picture(w.wait(j.ID), hue(2))
	w.settled()
}
