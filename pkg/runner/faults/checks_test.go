//go:build linux

package faults

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// settled makes the four checks that every fault ends in: each accepted job
// came to one end, no picture is another job's, nothing is left behind; that the
// log names the cause is checked where the fault is known.
func (w *world) settled() {
	w.Helper()
	w.ready()
	all := w.list()
	w.mu.Lock()
	accepted := len(w.accepted)
	for key, id := range w.accepted {
		if _, ok := all[id]; !ok {
			w.Errorf("the job %s of key %s is gone", id, key)
		}
	}
	w.mu.Unlock()
	if len(all) != accepted {
		w.Errorf("there are %d jobs of %d that were accepted", len(all), accepted)
	}
	for _, j := range all {
		switch j.Status {
		case "succeeded":
			w.picture(j, j.Input.Color)
		case "failed", "canceled", "expired":
			if len(j.Outputs) > 0 {
				w.Errorf("job %s is %s and has outputs", j.ID, j.Status)
			}
		default:
			w.Errorf("job %s is %s at the end", j.ID, j.Status)
		}
	}
	w.nothingLeft(all)
}

// list is every job that the runner knows.
func (w *world) list() map[string]job {
	w.Helper()
	all := map[string]job{}
	for cursor := ""; ; {
		_, b, _ := w.insist("GET", "/v1/jobs?limit=200&cursor="+cursor, "")
		var page struct {
			Data []job
			Next *string `json:"next_cursor"`
		}
		must(w.T, json.Unmarshal(b, &page))
		for _, j := range page.Data {
			all[j.ID] = j
		}
		if page.Next == nil {
			return all
		}
		cursor = *page.Next
	}
}

// nothingLeft looks for files, history entries, goroutines and descriptors
// that nobody needs.
func (w *world) nothingLeft(all map[string]job) {
	w.Helper()
	state := filepath.Join(w.dir, "state")
	var left []string
	look := func() bool {
		left = nil
		for _, dir := range []string{filepath.Join(state, "engine", "output"), filepath.Join(state, "files")} {
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					left = append(left, path)
				}
				return nil
			})
		}
		kept, _ := os.ReadDir(filepath.Join(state, "outputs"))
		for _, d := range kept {
			files, _ := os.ReadDir(filepath.Join(state, "outputs", d.Name()))
			if len(files) != len(all[d.Name()].Outputs) {
				left = append(left, d.Name()+" has files that the job does not name")
			}
		}
		if n := w.entries(); n > 0 {
			left = append(left, "history entries in the engine")
		}
		return len(left) == 0
	}
	if w.remote {
		// The output folder of an engine elsewhere is out of the runner's reach.
		return
	}
	w.until("a tidy state", func() bool { return look() || w.Failed() })
	for _, l := range left {
		w.Errorf("left behind: %s", l)
	}
	w.until("few goroutines and descriptors", func() bool {
		w.http.CloseIdleConnections()
		goroutines, err1 := w.metric("go_goroutines")
		files, err2 := w.metric("process_open_fds")
		return err1 == nil && err2 == nil && goroutines < 60 && files < 60
	})
}

// entries counts what the engine's history holds.
func (w *world) entries() int {
	resp, err := http.Get(w.control.read("url") + "/history")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var m map[string]json.RawMessage
	if json.NewDecoder(resp.Body).Decode(&m) != nil {
		return 0
	}
	return len(m)
}

// tail is the end of the log, for messages.
func (w *world) tail() string {
	b, _ := os.ReadFile(w.log.Name())
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}
