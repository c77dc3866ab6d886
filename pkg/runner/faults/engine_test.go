//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/engine/stub"
)

// controlVariable names a folder through which a test tells the engine what to
// do wrong: a file there is a fault, its content how often. The engine leaves
// its pid and address there.
const controlVariable = "COMFY_FAULTS_CONTROL"

// beEngine is ComfyUI as its command line sees it, with faults.
func beEngine(args []string) int {
	flag := func(name string) string {
		for i, a := range args[:len(args)-1] {
			if a == name {
				return args[i+1]
			}
		}
		return ""
	}
	c := control(os.Getenv(controlVariable))
	if c.takes("boot-exit") {
		fmt.Println("ImportError: libcuda.so.1: cannot open shared object file")
		return 1
	}
	if c.takes("import-failed") {
		fmt.Println("   0.0 seconds (IMPORT FAILED): /opt/comfy/custom_nodes/broken-pack")
	}
	e := &evil{control: c, dir: filepath.Dir(flag("--output-directory"))}
	s, err := stub.New(stub.Options{
		Version: "v0.3.64", Dir: e.dir, Listen: flag("--listen") + ":" + flag("--port"), Previews: true,
		Wrap: e.wrap, Before: e.before,
	})
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c.write("url", s.URL())
	c.write("pid", strconv.Itoa(os.Getpid()))
	fmt.Println("To see the GUI go to:", s.URL())
	polite := make(chan os.Signal, 1)
	signal.Notify(polite, syscall.SIGINT, syscall.SIGTERM)
	select {
	case <-polite:
		if c.has("stubborn") {
			select {}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = s.Stop(ctx)
	case <-s.Done():
	}
	return 0
}

// control is the folder of armed faults.
type control string

func (c control) path(name string) string { return filepath.Join(string(c), name) }

// write replaces a file as a whole.
func (c control) write(name, text string) {
	part := c.path("." + name + strconv.Itoa(os.Getpid()))
	if os.WriteFile(part, []byte(text), 0o600) == nil {
		_ = os.Rename(part, c.path(name))
	}
}

func (c control) read(name string) string {
	b, err := os.ReadFile(c.path(name))
	if err != nil {
		return ""
	}
	return string(b)
}

// has reports whether a fault is armed, without using it up.
func (c control) has(name string) bool { return c != "" && c.read(name) != "" }

// takes uses an armed fault up by one and reports whether it was armed.
func (c control) takes(name string) bool {
	n, err := strconv.Atoi(c.read(name))
	if c == "" || err != nil || n <= 0 {
		return false
	}
	if n == 1 {
		_ = os.Remove(c.path(name))
	} else {
		c.write(name, strconv.Itoa(n-1))
	}
	return true
}

// evil does what the control folder says.
type evil struct {
	control control
	dir     string
	mu      sync.Mutex
	sockets []*tapped
}

// before is called for every node that runs; faults of a run strike at the
// node that works.
func (e *evil) before(v stub.Visit) *stub.Fault {
	if v.Class != "ImageInvert" {
		return nil
	}
	if ms, err := strconv.Atoi(e.control.read("work-ms")); err == nil && ms > 0 {
		time.Sleep(time.Duration(rand.IntN(ms)) * time.Millisecond)
	}
	switch {
	case e.control.takes("exit1"):
		os.Exit(1)
	case e.control.takes("exit0"):
		os.Exit(0)
	case e.control.takes("sigkill"):
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case e.control.takes("oom"):
		return &stub.Fault{Type: "torch.OutOfMemoryError", Message: "CUDA out of memory. Tried to allocate 20.00 GiB"}
	case e.control.takes("raise"):
		return &stub.Fault{Type: "ValueError", Message: "the node says no"}
	case e.control.takes("hang-hard"):
		select {}
	case e.control.takes("hang"):
		for !v.Interrupted() {
			time.Sleep(time.Millisecond)
		}
	}
	for e.control.has("hold") && !v.Interrupted() {
		time.Sleep(time.Millisecond)
	}
	for _, t := range e.taps() {
		t.strike(e.control)
	}
	return nil
}

func (e *evil) taps() []*tapped {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*tapped{}, e.sockets...)
}

func (e *evil) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/ws" && e.control.takes("no-socket"):
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		case path == "/ws":
			w = &tap{ResponseWriter: w, e: e}
		case strings.HasPrefix(path, "/history/"):
			e.history(w, r, next)
			return
		case path == "/prompt" && r.Method == http.MethodPost && e.control.takes("drop-answer"):
			// It is accepted, and nobody is told.
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case path == "/free":
			e.control.write("freed", "1")
		}
		next.ServeHTTP(w, r)
	})
}

// history serves an entry, or a lie about it.
func (e *evil) history(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	body := rec.Body.String()
	if strings.TrimSpace(body) != "{}" {
		switch {
		case e.control.takes("history-error"):
			http.Error(w, "no", http.StatusInternalServerError)
			return
		case e.control.takes("no-history"):
			body = "{}"
		case e.control.takes("traversal"):
			body = strings.ReplaceAll(body, `"subfolder": "jobs`, `"subfolder": "../../jobs`)
		}
		e.spoil()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(rec.Code)
	_, _ = w.Write([]byte(body))
}

// spoil does something to the files that were saved.
func (e *evil) spoil() {
	var fault string
	for _, name := range []string{"no-file", "empty-file", "link-file", "half-file"} {
		if e.control.takes(name) {
			fault = name
		}
	}
	if fault == "" {
		return
	}
	_ = filepath.WalkDir(filepath.Join(e.dir, "output"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // what is gone needs no spoiling
		}
		switch fault {
		case "no-file":
			_ = os.Remove(path)
		case "empty-file":
			_ = os.Truncate(path, 0)
		case "half-file":
			_ = os.Truncate(path, 60)
		case "link-file":
			_ = os.Remove(path)
			_ = os.Symlink("/etc/hostname", path)
		}
		return nil
	})
}

// tap hands out the connection of a WebSocket with our hand on it.
type tap struct {
	http.ResponseWriter
	e *evil
}

func (t *tap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	tc := &tapped{Conn: conn}
	t.e.mu.Lock()
	t.e.sockets = append(t.e.sockets, tc)
	t.e.mu.Unlock()
	// What the handler writes goes through rw.
	return tc, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(tc)), nil
}

type tapped struct {
	net.Conn
	mu   sync.Mutex
	mute bool
}

func (t *tapped) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mute {
		return len(b), nil
	}
	return t.Conn.Write(b)
}

// strike does to the socket what is armed.
func (t *tapped) strike(c control) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.mute:
	case c.takes("ws-drop"):
		t.mute = true
		_ = t.Close()
	case c.takes("ws-garbage"):
		_, _ = t.Conn.Write([]byte("\xff\xff\xff\xffgarbage that is no frame"))
	case c.takes("ws-nonsense"):
		// A whole text frame, of something that is no message.
		_, _ = t.Conn.Write(append([]byte{0x81, 12}, `{"type":[[1]`...))
	case c.takes("ws-silence"):
		t.mute = true
	}
}
