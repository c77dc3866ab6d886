package stub

import (
	"math/big"
	"sort"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// maxHistory is how many entries a real server keeps.
const maxHistory = 10000

// core is the server's memory: queue, history, sockets, cache.
type core struct {
	o   Options
	cat *catalog.Catalog
	// nodes compute their true result; other classes are made up by schema.
	nodes map[string]nodeFunc

	mu        sync.Mutex
	cond      *sync.Cond
	closed    bool
	counter   int64
	pending   []*item
	running   *item
	interrupt bool
	history   *object // id → entry
	free      bool
	dead      bool // the worker ended on a node without inputs, as the real one does
	sockets   map[string]*socket
	logs      []string

	cache map[string]*cached // only the worker touches it
}

// item is a prompt in the queue.
type item struct {
	number  any // *big.Int or float64, as sent
	order   float64
	id      string
	prompt  *object
	extra   *object
	outputs []string
}

func newCore(o Options, cat *catalog.Catalog) *core {
	c := &core{o: o, cat: cat, nodes: nodeTable(), history: obj(), sockets: map[string]*socket{}, cache: map[string]*cached{}}
	c.cond = sync.NewCond(&c.mu)
	return c
}

func (c *core) stop() {
	c.mu.Lock()
	c.closed, c.interrupt = true, true
	c.cond.Broadcast()
	list := c.sockets
	c.sockets = map[string]*socket{}
	c.mu.Unlock()
	for _, s := range list {
		s.close()
	}
}

// remaining counts the queue, the running prompt included. The caller holds mu.
func (c *core) remaining() int {
	n := len(c.pending)
	if c.running != nil {
		n++
	}
	return n
}

// status tells every socket how long the queue is. The caller holds mu.
func (c *core) status() {
	c.send("", "status", obj("status", obj("exec_info", obj("queue_remaining", c.remaining()))))
}

// send queues a message for one client, or for all where client is "". The
// caller holds mu.
func (c *core) send(client, typ string, data *object) {
	b := dump(obj("type", typ, "data", data))
	for id, s := range c.sockets {
		if client == "" || id == client {
			s.put(frame{text: true, data: b})
		}
	}
}

func (c *core) enqueue(it *item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log("got prompt")
	c.pending = append(c.pending, it)
	sort.SliceStable(c.pending, func(i, j int) bool { return c.pending[i].order < c.pending[j].order })
	c.status()
	c.cond.Broadcast()
}

// work runs prompts one after another until the server stops.
func (c *core) work() {
	for {
		c.mu.Lock()
		for len(c.pending) == 0 && !c.closed || c.dead && !c.closed {
			c.cond.Wait()
		}
		if c.closed {
			c.mu.Unlock()
			return
		}
		it := c.pending[0]
		c.pending, c.running = c.pending[1:], it
		c.interrupt = false
		if c.free {
			c.free, c.cache = false, map[string]*cached{}
		}
		c.status()
		c.mu.Unlock()
		for _, id := range it.prompt.keys {
			if n, ok := it.prompt.values[id].(*object); ok {
				if _, ok := n.get("inputs"); !ok {
					c.die(it)
				}
			}
		}
		if c.isDead() {
			continue
		}
		r := newRun(c, it)
		r.execute()
		c.finish(it, r)
	}
}

// die is what a node without inputs does to a real worker: it starts the
// prompt, raises, and never runs another one, while HTTP goes on answering.
func (c *core) die(it *item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead {
		c.dead = true
		c.send(it.client(), "execution_start", obj("prompt_id", it.id, "timestamp", now()))
	}
}

func (c *core) isDead() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.dead }

// nobody is the client of a prompt that names none.
const nobody = "\x00nobody"

func (it *item) client() string {
	v, _ := it.extra.get("client_id")
	s, _ := v.(string)
	if s == "" {
		return nobody
	}
	return s
}

func (c *core) finish(it *item, r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	extra := copyValue(it.extra).(*object)
	extra.del("api_key_comfy_org")
	extra.del("auth_token_comfy_org")
	outputs := []any{}
	for _, o := range it.outputs {
		outputs = append(outputs, o)
	}
	c.history.set(it.id, obj("prompt", []any{it.number, it.id, it.prompt, extra, outputs}, "outputs", r.outputs,
		"status", obj("status_str", r.statusText(), "completed", r.failed == nil, "messages", r.messages), "meta", r.meta))
	for len(c.history.keys) > maxHistory {
		c.history.del(c.history.keys[0])
	}
	c.running = nil
	c.status()
	c.send(it.client(), "executing", obj("node", nil, "prompt_id", it.id))
}

func now() *big.Int { return big.NewInt(time.Now().UnixMilli()) }
