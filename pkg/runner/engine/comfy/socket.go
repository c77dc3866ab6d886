package comfy

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// Bounds of the WebSocket.
const (
	// maxFrame is generous: previews can be full-size PNGs.
	maxFrame      = 256 << 20
	dialTimeout   = 20 * time.Second
	pingEvery     = 20 * time.Second
	pingTimeout   = 90 * time.Second
	redialFirst   = 100 * time.Millisecond
	redialLongest = 5 * time.Second
)

// socket keeps one WebSocket to the engine and hands its messages to the
// prompts that they are about. It reads without ever waiting for anybody,
// since the engine awaits each of its sockets in turn.
type socket struct {
	client *client
	log    *slog.Logger

	mu       sync.Mutex
	clientID string // of the open connection; empty while there is none
	opened   chan struct{}
	boxes    map[string]*mailbox
	current  string // prompt that began last, for frames without an id
}

func newSocket(c *client, log *slog.Logger) *socket {
	return &socket{client: c, log: log, opened: make(chan struct{}), boxes: map[string]*mailbox{}}
}

// run keeps the socket open until ctx is over. Each connection has a client id
// of its own: the engine forgets an id when an older socket under it closes.
func (s *socket) run(ctx context.Context) {
	wait := redialFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := s.connect(ctx, uuid.NewString())
		s.lost()
		if ctx.Err() != nil {
			return
		}
		s.log.Debug("engine socket lost", "error", err)
		if time.Since(began) > redialLongest {
			wait = redialFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, redialLongest)
	}
}

// connect opens one connection and reads it to its end.
func (s *socket) connect(ctx context.Context, id string) error {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	//nolint:bodyclose // the library closes it
	conn, _, err := websocket.Dial(dialing, s.client.base+"/ws?clientId="+url.QueryEscape(id), &websocket.DialOptions{
		HTTPClient:      s.client.http,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxFrame)
	hello := []byte(`{"type":"feature_flags","data":{"supports_preview_metadata":true}}`)
	if err := conn.Write(dialing, websocket.MessageText, hello); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var pinger sync.WaitGroup
	defer pinger.Wait()
	defer stop()
	pinger.Go(func() {
		defer stop()
		ping(ctx, conn)
	})
	for {
		kind, b, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			s.binary(b)
		} else {
			s.text(id, b)
		}
	}
}

// ping returns when the other side no longer answers.
func ping(ctx context.Context, conn *websocket.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pingEvery):
		}
		once, cancel := context.WithTimeout(ctx, pingTimeout)
		err := conn.Ping(once)
		cancel()
		if err != nil {
			return
		}
	}
}

// open marks the connection as usable: the engine has registered it.
func (s *socket) open(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clientID == "" {
		s.clientID = id
		close(s.opened)
	}
}

// lost marks it as gone; prompts sent under its id hear no more.
func (s *socket) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clientID == "" {
		return
	}
	s.clientID = ""
	s.opened = make(chan struct{})
	for _, b := range s.boxes {
		b.deafen()
	}
}

// subscribe returns the mailbox of a prompt and the client id to send it
// under. Without a connection within wait, the prompt is only polled.
func (s *socket) subscribe(ctx context.Context, prompt string, wait time.Duration) (*mailbox, string) {
	s.mu.Lock()
	opened := s.opened
	s.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-opened:
	case <-t.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := newMailbox()
	s.boxes[prompt] = b
	if s.clientID == "" {
		b.deafen()
		// The engine needs a string to treat the prompt like any other.
		return b, uuid.NewString()
	}
	return b, s.clientID
}

func (s *socket) unsubscribe(prompt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.boxes, prompt)
}

// message is a text frame. Data has the members of every kind that is used.
type message struct {
	Type string `json:"type"`
	Data struct {
		PromptID      string          `json:"prompt_id"`
		Node          *string         `json:"node"`
		DisplayNode   string          `json:"display_node"`
		Nodes         json.RawMessage `json:"nodes"`
		Value         json.Number     `json:"value"`
		Max           json.Number     `json:"max"`
		Output        json.RawMessage `json:"output"`
		ExceptionType string          `json:"exception_type"`
	} `json:"data"`
}

func (s *socket) text(id string, b []byte) {
	var m message
	if err := decode(b, &m); err != nil {
		// Custom nodes send messages of their own shapes.
		return
	}
	if m.Type == "status" {
		s.open(id)
		return
	}
	if m.Data.PromptID == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.boxes[m.Data.PromptID]
	if box == nil {
		return
	}
	if m.Type == "execution_start" {
		s.current = m.Data.PromptID
	}
	if m.Type == "progress_state" {
		// It repeats every node so far; progress says the same in less.
		box.touch()
		return
	}
	box.put(item{message: &m})
}

// logLine hands a line of the engine's log to the prompt that runs.
func (s *socket) logLine(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if box := s.boxes[s.current]; box != nil {
		box.put(item{note: &note{text: line}})
	}
}

// Types of binary frames.
const (
	framePreview  = 1
	frameText     = 3
	frameMetadata = 4
)

// preview is a picture while sampling.
type preview struct {
	node, contentType string
	data              []byte
}

func (s *socket) binary(b []byte) {
	if len(b) < 8 {
		return
	}
	second := binary.BigEndian.Uint32(b[4:8])
	rest := b[8:]
	var prompt string
	var it item
	switch binary.BigEndian.Uint32(b[:4]) {
	case framePreview:
		kind := "image/jpeg"
		if second == 2 {
			kind = "image/png"
		}
		it.preview = &preview{contentType: kind, data: rest}
	case frameText:
		if uint64(second) > uint64(len(rest)) {
			return
		}
		it.note = &note{node: string(rest[:second]), text: strings.ToValidUTF8(string(rest[second:]), "\uFFFD")}
	case frameMetadata:
		if uint64(second) > uint64(len(rest)) {
			return
		}
		var meta struct {
			Prompt  string `json:"prompt_id"`
			Node    string `json:"node_id"`
			Display string `json:"display_node_id"`
			Type    string `json:"image_type"`
		}
		if decode(rest[:second], &meta) != nil {
			return
		}
		prompt = meta.Prompt
		if meta.Display != "" {
			meta.Node = meta.Display
		}
		it.preview = &preview{node: meta.Node, contentType: meta.Type, data: rest[second:]}
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if prompt == "" {
		prompt = s.current
	}
	if box := s.boxes[prompt]; box != nil {
		box.put(it)
	}
}
