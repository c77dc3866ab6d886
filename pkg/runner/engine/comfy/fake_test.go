package comfy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
)

// fake is a server that does what its test tells it, and nothing by itself.
type fake struct {
	t   *testing.T
	srv *httptest.Server
	// onPrompt is called once a prompt was accepted; it plays the engine.
	onPrompt func(f *fake, id string)

	mu        sync.Mutex
	answer    string // to POST /prompt; empty accepts
	code      int
	running   []string
	pending   []string
	history   map[string]string
	jobs      bool // has the cancel route
	down      bool // answers 500 to /system_stats
	socket    *websocket.Conn
	clientID  string
	posted    []submission
	struck    []string
	forgotten []string
	headers   []http.Header
	files     map[string]string // of /view, by subfolder/name
	uploads   []string
	onStrike  func(f *fake, id string)
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, history: map[string]string{}, files: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /system_stats", f.stats)
	mux.HandleFunc("GET /ws", f.ws)
	mux.HandleFunc("POST /prompt", f.prompt)
	mux.HandleFunc("GET /queue", f.queue)
	mux.HandleFunc("POST /queue", f.unqueue)
	mux.HandleFunc("GET /history/{id}", f.entry)
	mux.HandleFunc("POST /history", f.forget)
	mux.HandleFunc("POST /interrupt", f.interrupt)
	mux.HandleFunc("POST /api/jobs/{id}/cancel", f.cancel)
	mux.HandleFunc("GET /view", f.view)
	mux.HandleFunc("POST /upload/image", f.upload)
	f.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.headers = append(f.headers, r.Header.Clone())
		f.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		f.drop()
		f.srv.Close()
	})
	return f
}

func (f *fake) stats(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, `{"system":{"comfyui_version":"0.3.64"},"devices":[{"name":"cpu"}]}`)
}

func (f *fake) ws(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		return
	}
	f.mu.Lock()
	f.socket, f.clientID = c, r.URL.Query().Get("clientId")
	f.mu.Unlock()
	f.say(`{"type":"status","data":{"status":{"exec_info":{"queue_remaining":0}},"sid":"x"}}`)
	for {
		if _, _, err := c.Read(context.Background()); err != nil {
			return
		}
	}
}

// drop cuts the socket.
func (f *fake) drop() {
	f.mu.Lock()
	c := f.socket
	f.socket = nil
	f.mu.Unlock()
	if c != nil {
		c.CloseNow()
	}
}

// say sends a text frame.
func (f *fake) say(frame string) { f.send(websocket.MessageText, []byte(frame)) }

func (f *fake) send(kind websocket.MessageType, b []byte) {
	f.mu.Lock()
	c := f.socket
	f.mu.Unlock()
	if c != nil {
		_ = c.Write(context.Background(), kind, b)
	}
}

// tell sends a message of a type about a prompt; more are members of its data.
func (f *fake) tell(kind, id, more string) {
	if more != "" {
		more = "," + more
	}
	f.say(fmt.Sprintf(`{"type":%q,"data":{"prompt_id":%q%s}}`, kind, id, more))
}

// begin plays the start of a prompt.
func (f *fake) begin(id string) {
	f.mu.Lock()
	f.pending = nil
	f.running = []string{id}
	f.mu.Unlock()
	f.tell("execution_start", id, "")
	f.tell("execution_cached", id, `"nodes":[]`)
	f.tell("executing", id, `"node":"1","display_node":"1"`)
}

// finish moves a prompt to the history and says so.
func (f *fake) finish(id, status, messages, outputs string) {
	f.record(id, status, messages, outputs)
	f.tell("executing", id, `"node":null`)
}

func (f *fake) record(id, status, messages, outputs string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = nil
	f.history[id] = fmt.Sprintf(`{"prompt":[0,%q,{},{},["2"]],"outputs":%s,"status":{"status_str":%q,"completed":true,"messages":[%s]}}`,
		id, outputs, status, messages)
}

const oneFile = `{"2":{"images":[{"filename":"a_00001_.png","subfolder":"job","type":"output"}]}}`

func (f *fake) prompt(w http.ResponseWriter, r *http.Request) {
	var s submission
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		f.t.Errorf("prompt is not JSON: %v", err)
	}
	f.mu.Lock()
	f.posted = append(f.posted, s)
	answer, code, play := f.answer, f.code, f.onPrompt
	if answer == "" || code == http.StatusOK {
		f.pending = append(f.pending, s.PromptID)
	}
	f.mu.Unlock()
	if answer != "" {
		w.WriteHeader(code)
		fmt.Fprint(w, answer)
	} else {
		fmt.Fprintf(w, `{"prompt_id":%q,"number":1,"node_errors":{}}`, s.PromptID)
	}
	if play != nil {
		go play(f, s.PromptID)
	}
}

func (f *fake) queue(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	items := func(ids []string) string {
		var out []string
		for _, id := range ids {
			out = append(out, fmt.Sprintf(`[1,%q,{"9":{"class_type":"X","inputs":{"v":NaN}}},{},["9"]]`, id))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	fmt.Fprintf(w, `{"queue_running":%s,"queue_pending":%s}`, items(f.running), items(f.pending))
}

func (f *fake) unqueue(w http.ResponseWriter, r *http.Request) {
	var in struct{ Delete []string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range in.Delete {
		f.pending = without(f.pending, id)
	}
}

func without(list []string, id string) []string {
	var out []string
	for _, x := range list {
		if x != id {
			out = append(out, x)
		}
	}
	return out
}

func (f *fake) entry(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	if e, ok := f.history[id]; ok {
		fmt.Fprintf(w, `{%q:%s}`, id, e)
		return
	}
	fmt.Fprint(w, `{}`)
}

func (f *fake) forget(_ http.ResponseWriter, r *http.Request) {
	var in struct{ Delete []string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range in.Delete {
		delete(f.history, id)
		f.forgotten = append(f.forgotten, id)
	}
}

func (f *fake) interrupt(_ http.ResponseWriter, r *http.Request) {
	var in struct {
		ID string `json:"prompt_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	f.mu.Lock()
	f.struck = append(f.struck, in.ID)
	play := f.onStrike
	f.mu.Unlock()
	if play != nil {
		go play(f, in.ID)
	}
}

func (f *fake) cancel(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	jobs, play := f.jobs, f.onStrike
	f.mu.Unlock()
	if !jobs {
		http.NotFound(w, r)
		return
	}
	f.mu.Lock()
	f.struck = append(f.struck, "job "+r.PathValue("id"))
	f.mu.Unlock()
	if play != nil {
		go play(f, r.PathValue("id"))
	}
	fmt.Fprint(w, `{"cancelled":true}`)
}

func (f *fake) view(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.mu.Lock()
	b, ok := f.files[q.Get("type")+"/"+q.Get("subfolder")+"/"+q.Get("filename")]
	f.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, b)
}

func (f *fake) upload(w http.ResponseWriter, r *http.Request) {
	file, head, err := r.FormFile("image")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer file.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uploads = append(f.uploads, r.FormValue("subfolder")+"/"+head.Filename)
	fmt.Fprintf(w, `{"name":%q,"subfolder":%q,"type":"input"}`, head.Filename, r.FormValue("subfolder"))
}

// interrupted plays an engine that obeys: the prompt ends as interrupted.
func interrupted(f *fake, id string) {
	f.tell("execution_interrupted", id, `"node_id":"1","node_type":"X","executed":[]`)
	f.finish(id, "error", fmt.Sprintf(`["execution_interrupted",{"prompt_id":%q}]`, id), `{}`)
}

// client supervises f with short pauses and returns when it is ready and its
// socket is open.
func (f *fake) client(o Options) *Supervisor {
	f.t.Helper()
	s := NewSupervisor(Remote(f.srv.URL), o)
	s.backoff, s.health = time.Millisecond, 20*time.Millisecond
	supervise(f.t, s)
	for {
		sess, err := s.current()
		if err != nil {
			f.t.Fatal(err)
		}
		sess.socket.mu.Lock()
		open := sess.socket.clientID != ""
		sess.socket.mu.Unlock()
		if open {
			return s
		}
		time.Sleep(time.Millisecond)
	}
}

const thisPrompt = "0b8cfd5b-9a6c-4d0b-9b6b-1d6c7a9e0f11"

// onePrompt is a graph of two nodes with a seed that no float64 holds.
var onePrompt = engine.Prompt{ID: thisPrompt, Graph: json.RawMessage(
	`{"1":{"class_type":"Noise","inputs":{"seed":18446744073709551615}},"2":{"class_type":"SaveImage","inputs":{"images":["1",0]}}}`)}
