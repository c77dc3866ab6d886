package stub

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

// cached is the result of a node, kept until a prompt comes without it.
type cached struct {
	outputs []any
	ui      *object
}

// run executes one prompt.
type run struct {
	c        *core
	it       *item
	keys     map[string]string
	finished *object // progress_state, cumulative
	executed []string
	outputs  *object
	meta     *object
	messages []any
	failed   *object
	broke    bool // interrupted
}

func newRun(c *core, it *item) *run {
	return &run{c: c, it: it, keys: map[string]string{}, finished: obj(), outputs: obj(), meta: obj()}
}

func (r *run) statusText() string {
	if r.failed != nil {
		return "error"
	}
	return "success"
}

func (r *run) send(typ string, data *object) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.send(r.it.client(), typ, data)
}

// tell sends what goes to every socket when the prompt names no client.
func (r *run) tell(typ string, data *object) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	client := r.it.client()
	if client == nobody {
		client = ""
	}
	r.c.send(client, typ, data)
}

// note sends a message and keeps it for the history.
func (r *run) note(typ string, data *object) {
	r.messages = append(r.messages, []any{typ, data})
	r.send(typ, data)
}

func (r *run) node(id string) (class *catalog.Class, inputs *object) {
	n := r.it.prompt.values[id].(*object)
	v, _ := n.get("class_type")
	class, _ = r.c.cat.Class(v.(string))
	iv, _ := n.get("inputs")
	inputs, _ = iv.(*object)
	return class, inputs
}

// source is where a linked input comes from.
func source(v any) (id string, slot int, ok bool) {
	l, isList := v.([]any)
	if !isList || len(l) != 2 {
		return "", 0, false
	}
	id, ok1 := l[0].(string)
	n, ok2 := l[1].(*big.Int)
	if !ok1 || !ok2 {
		return "", 0, false
	}
	return id, int(n.Int64()), true
}

// key is what a node's result depends on: its class, its constants, the files
// that it reads, and the same of everything before it. The node's id is not.
func (r *run) key(id string) string {
	if k, ok := r.keys[id]; ok {
		return k
	}
	r.keys[id] = "" // a cycle among unreachable nodes
	class, inputs := r.node(id)
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00", class.Name)
	if inputs != nil {
		names := append([]string{}, inputs.keys...)
		slices.Sort(names)
		for _, name := range names {
			v := inputs.values[name]
			if from, slot, ok := source(v); ok && r.it.prompt.values[from] != nil {
				fmt.Fprintf(h, "%s<%s:%d\x00", name, r.key(from), slot)
				continue
			}
			fmt.Fprintf(h, "%s=%s\x00", name, dump(v))
			if s, isText := v.(string); isText && strings.HasPrefix(class.Name, "Load") {
				if in, ok := class.Input(name); ok && in.File != "" {
					b, err := os.ReadFile(r.c.annotated(s))
					fmt.Fprintf(h, "%x%v\x00", sha256.Sum256(b), err != nil)
				}
			}
		}
	}
	r.keys[id] = hex.EncodeToString(h.Sum(nil))
	return r.keys[id]
}

func (r *run) execute() {
	r.note("execution_start", obj("prompt_id", r.it.id, "timestamp", now()))
	keep := map[string]*cached{}
	hits := []any{}
	for _, id := range r.it.prompt.keys {
		if e := r.c.cache[r.key(id)]; e != nil {
			keep[r.key(id)] = e
			hits = append(hits, id)
		}
	}
	r.c.cache = keep
	r.note("execution_cached", obj("nodes", hits, "prompt_id", r.it.id, "timestamp", now()))
	order := r.plan()
	for len(order.pending) > 0 && r.failed == nil {
		id := order.pick(r)
		if id == "" {
			break
		}
		r.visit(id)
		order.done(id)
	}
	if r.failed == nil {
		r.note("execution_success", obj("prompt_id", r.it.id, "timestamp", now()))
	}
}

// schedule is the order of ComfyUI's: what was added first and waits for
// nothing, output nodes before others.
type schedule struct {
	pending []string
	waits   map[string]map[string]bool
}

func (r *run) plan() *schedule {
	s := &schedule{waits: map[string]map[string]bool{}}
	for _, out := range r.it.outputs {
		stack := []string{out}
		for len(stack) > 0 {
			id := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if s.waits[id] != nil {
				continue
			}
			s.waits[id] = map[string]bool{}
			s.pending = append(s.pending, id)
			if r.c.cache[r.key(id)] != nil {
				continue
			}
			_, inputs := r.node(id)
			for _, name := range inputs.keys {
				from, _, ok := source(inputs.values[name])
				if !ok || r.it.prompt.values[from] == nil || r.c.cache[r.key(from)] != nil || r.skipped(id, name) {
					continue
				}
				s.waits[id][from] = true
				stack = append(stack, from)
			}
		}
	}
	return s
}

func (s *schedule) pick(r *run) string {
	first := ""
	for _, id := range s.pending {
		if len(s.waits[id]) > 0 {
			continue
		}
		if slices.Contains(r.it.outputs, id) {
			return id
		}
		if first == "" {
			first = id
		}
	}
	return first
}

func (s *schedule) done(id string) {
	s.pending = slices.DeleteFunc(s.pending, func(p string) bool { return p == id })
	for _, w := range s.waits {
		delete(w, id)
	}
}

// visit runs one node, or answers it from the cache.
func (r *run) visit(id string) {
	key := r.key(id)
	if e := r.c.cache[key]; e != nil {
		ui := any(nil)
		if e.ui != nil {
			ui = e.ui
			r.output(id, e.ui)
		}
		r.send("executed", obj("node", id, "display_node", id, "output", ui, "prompt_id", r.it.id))
		r.done(id)
		return
	}
	r.state(id, 0.0, 1.0, "running")
	r.send("executing", obj("node", id, "display_node", id, "prompt_id", r.it.id))
	if r.interrupted() {
		r.stop(id)
		return
	}
	class, inputs := r.node(id)
	args, ex := r.arguments(class, inputs)
	var outputs []any
	var ui *object
	if ex == nil {
		outputs, ui, ex = r.call(id, class, args)
	}
	switch {
	case r.broke:
		r.stop(id)
		return
	case ex != nil:
		r.fail(id, class, inputs, ex)
		return
	}
	if ui != nil {
		r.send("executed", obj("node", id, "display_node", id, "output", ui, "prompt_id", r.it.id))
		r.output(id, ui)
	}
	r.c.cache[key] = &cached{outputs: outputs, ui: ui}
	r.executed = append(r.executed, id)
	r.done(id)
}

func (r *run) output(id string, ui *object) {
	r.outputs.set(id, ui)
	r.meta.set(id, obj("node_id", id, "display_node", id, "parent_node", nil, "real_node_id", id))
}

// arguments resolves the links of a node.
// Constants that the class does not declare are left out; undeclared links
// reach the function in ComfyUI, which then raises.
func (r *run) arguments(class *catalog.Class, inputs *object) (map[string]any, *exception) {
	args := map[string]any{}
	declared := map[string]bool{}
	for _, s := range specsOf(class, inputs) {
		declared[s.Name] = true
	}
	for _, name := range inputs.keys {
		v := inputs.values[name]
		from, slot, ok := source(v)
		if !ok {
			if declared[name] {
				args[name] = v
			}
			continue
		}
		if !declared[name] {
			return nil, raisef("TypeError", "%s got an unexpected keyword argument '%s'", class.Name, name)
		}
		e := r.c.cache[r.key(from)]
		if e == nil {
			if lazy(class.Name, name) {
				continue // the branch that was not asked for
			}
			return nil, raise("KeyError", "'"+from+"'")
		}
		if slot < 0 {
			slot += len(e.outputs)
		}
		if slot < 0 || slot >= len(e.outputs) {
			return nil, raise("IndexError", "list index out of range")
		}
		args[name] = e.outputs[slot]
	}
	return args, nil
}

// takesLists are the classes that get whole lists at once.
var takesLists = map[string]bool{"RebatchImages": true}

// lazy reports whether a class leaves an input until it asks for it.
func lazy(class, input string) bool {
	return class == "ComfySwitchNode" && (input == "on_true" || input == "on_false")
}

// skipped reports whether an input is a branch that a constant switch does not
// take. Behind a linked switch both branches run.
func (r *run) skipped(id, input string) bool {
	class, inputs := r.node(id)
	on, given := inputs.get("switch")
	if _, isLink := on.([]any); !lazy(class.Name, input) || !given || isLink {
		return false
	}
	return pyBool(on) != (input == "on_true")
}

// list is the value of an output that is a list: what comes after runs once
// for each element.
type list []any

func (r *run) call(id string, class *catalog.Class, args map[string]any) ([]any, *object, *exception) {
	n := 0
	for _, v := range args {
		if l, ok := v.(list); ok {
			n = max(n, len(l))
		}
	}
	if n == 0 || takesLists[class.Name] {
		return r.once(id, class, args)
	}
	var all []list
	var ui *object
	for i := range n {
		one := map[string]any{}
		for k, v := range args {
			if l, ok := v.(list); ok && len(l) > 0 {
				v = l[min(i, len(l)-1)]
			}
			one[k] = v
		}
		out, u, ex := r.once(id, class, one)
		if ex != nil {
			return nil, nil, ex
		}
		if all == nil {
			all = make([]list, len(out))
		}
		for j := range out {
			if l, ok := out[j].(list); ok {
				all[j] = append(all[j], l...)
				continue
			}
			all[j] = append(all[j], out[j])
		}
		ui = joinUI(ui, u)
	}
	outputs := make([]any, len(all))
	for i, l := range all {
		outputs[i] = l
	}
	return outputs, ui, nil
}

func joinUI(a, b *object) *object {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	for _, k := range b.keys {
		x, _ := a.values[k].([]any)
		y, _ := b.values[k].([]any)
		a.set(k, append(append([]any{}, x...), y...))
	}
	return a
}

// once calls a node. Its function may give up by panicking with an exception;
// any other panic is a fault of the stub's own, which ends this prompt and not
// the process.
func (r *run) once(id string, class *catalog.Class, args map[string]any) (outputs []any, ui *object, ex *exception) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *exception:
			outputs, ui, ex = nil, nil, p
		default:
			outputs, ui, ex = nil, nil, raisef("RuntimeError", "the stub engine failed in %s: %v", class.Name, p)
		}
	}()
	c := &call{r: r, id: id, class: class, args: args, key: r.key(id)}
	if before := r.c.o.Before; before != nil {
		v := Visit{Prompt: r.it.id, Node: id, Class: class.Name, Interrupted: r.interrupted,
			Text: func(input string) string { return c.text(input, "") }}
		if f := before(v); f != nil {
			return nil, nil, raise(f.Type, f.Message)
		}
		if r.broke {
			return nil, nil, nil
		}
	}
	if f, ok := r.c.nodes[class.Name]; ok {
		return f(c)
	}
	return c.made()
}

// done ends a node's progress at its maximum, whole where it was served from
// the cache.
func (r *run) done(id string) {
	limit := any(1)
	if s, ok := r.finished.get(id); ok {
		limit, _ = s.(*object).get("max")
	}
	r.state(id, limit, limit, "finished")
}

func (r *run) state(id string, value, max any, state string) {
	r.finished.set(id, obj("value", value, "max", max, "state", state, "node_id", id, "prompt_id", r.it.id,
		"display_node_id", id, "parent_node_id", nil, "real_node_id", id))
	r.tell("progress_state", obj("prompt_id", r.it.id, "nodes", r.finished))
}

// progress walks one step of a sampler; false means that it was interrupted.
func (r *run) progress(id string, value, max int) bool {
	if r.interrupted() {
		r.broke = true
		return false
	}
	r.state(id, value, max, "running")
	r.tell("progress", obj("value", value, "max", max, "prompt_id", r.it.id, "node", id))
	return true
}

// sleep waits for believable timing; false means that it was interrupted.
func (r *run) sleep(d time.Duration) bool {
	d = time.Duration(float64(d) * r.c.o.Pace)
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(min(time.Until(end), 5*time.Millisecond)) {
		if r.interrupted() {
			r.broke = true
			return false
		}
	}
	return true
}

func (r *run) interrupted() bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.interrupt {
		r.broke = true
	}
	return r.c.interrupt
}

func (r *run) ran() []any {
	ids := []any{}
	for _, id := range r.executed {
		ids = append(ids, id)
	}
	return ids
}

func (r *run) stop(id string) {
	class, _ := r.node(id)
	r.failed = obj("prompt_id", r.it.id, "node_id", id, "node_type", class.Name, "executed", r.ran(), "timestamp", now())
	r.messages = append(r.messages, []any{"execution_interrupted", r.failed})
	r.c.mu.Lock()
	r.c.interrupt = false
	client := r.it.client()
	if client == nobody {
		client = ""
	}
	r.c.send(client, "execution_interrupted", r.failed)
	r.c.mu.Unlock()
}

func (r *run) fail(id string, class *catalog.Class, inputs *object, ex *exception) {
	current := obj()
	for _, name := range inputs.keys {
		current.set(name, []any{pyStr(inputs.values[name])})
	}
	r.failed = obj("prompt_id", r.it.id, "node_id", id, "node_type", class.Name, "executed", r.ran(), "exception_message", ex.message+"\n",
		"exception_type", ex.kind, "traceback", []any{"the stub engine has no traceback\n"}, "current_inputs", current, "current_outputs", slices.Clone(r.it.prompt.keys), "timestamp", now())
	r.note("execution_error", r.failed)
}
