package stub

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

type frame struct {
	text bool
	data []byte
}

// socket is one client; frames wait in order until they are written.
type socket struct {
	mu      sync.Mutex
	queue   []frame
	wake    chan struct{}
	stop    context.CancelFunc
	preview bool // the client takes previews with metadata
}

func (s *socket) put(f frame) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *socket) take() []frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue
	s.queue = nil
	return q
}

func (s *socket) close() { s.stop() }

func (c *core) ws(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	id := r.URL.Query().Get("clientId")
	if id == "" {
		id = strings.ReplaceAll(uuid.NewString(), "-", "")
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &socket{wake: make(chan struct{}, 1), stop: cancel}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	s.put(frame{true, dump(obj("type", "status", "data", obj("status", obj("exec_info", obj("queue_remaining", c.remaining())), "sid", id)))})
	c.sockets[id] = s
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.sockets, id) // by name, also when another socket took it over: the real trap
		c.mu.Unlock()
	}()
	go func() {
		defer cancel()
		for first := true; ; first = false {
			_, b, err := conn.Read(ctx)
			if err != nil {
				return
			}
			if first {
				c.negotiate(s, b)
			}
		}
	}()
	for {
		for _, f := range s.take() {
			typ := websocket.MessageBinary
			if f.text {
				typ = websocket.MessageText
			}
			wctx, done := context.WithTimeout(ctx, 10*time.Second)
			err := conn.Write(wctx, typ, f.data)
			done()
			if err != nil {
				return
			}
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			_ = conn.Close(websocket.StatusGoingAway, "")
			return
		}
	}
}

// negotiate answers the feature flags, which count in the first frame only.
func (c *core) negotiate(s *socket, b []byte) {
	v, err := parseJSON(b)
	o, ok := v.(*object)
	if err != nil || !ok {
		return
	}
	if t, _ := o.get("type"); t != "feature_flags" {
		return
	}
	if d, ok := o.values["data"].(*object); ok {
		v, _ := d.get("supports_preview_metadata")
		s.mu.Lock()
		s.preview = v == true
		s.mu.Unlock()
	}
	s.put(frame{true, dump(obj("type", "feature_flags", "data", c.features()))})
}
