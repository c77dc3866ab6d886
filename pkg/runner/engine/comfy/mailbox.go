package comfy

import "sync"

// item is one message about a prompt; one member is set.
type item struct {
	message *message
	preview *preview
	note    *note
}

// note is a text that a node or the log sends while it works.
type note struct{ node, text string }

// mailbox holds what has arrived about one prompt. Putting never blocks;
// progress and previews that nobody has read yet are replaced by newer ones, so
// a slow reader costs detail and not memory.
type mailbox struct {
	mu      sync.Mutex
	items   []item
	deaf    bool
	touched bool
	ready   chan struct{}
}

// maxNotes bounds the unread texts.
const maxNotes = 1000

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

func (b *mailbox) put(it item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.wake()
	// Progress and previews of the same node alternate, so look behind the last.
	for i := len(b.items) - 1; i >= 0 && b.items[i].passing(); i-- {
		if b.items[i].sameAs(it) {
			b.items[i] = it
			return
		}
	}
	if it.note != nil && len(b.items) >= maxNotes {
		return
	}
	b.items = append(b.items, it)
}

// touch says that something happened that nobody needs to read.
func (b *mailbox) touch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched = true
	b.wake()
}

// passing is true for what a newer one makes useless.
func (it item) passing() bool {
	return it.preview != nil || it.message != nil && it.message.Type == "progress"
}

func (it item) sameAs(newer item) bool {
	switch {
	case it.preview != nil && newer.preview != nil:
		return it.preview.node == newer.preview.node
	case it.message != nil && newer.message != nil && newer.message.Type == "progress":
		return it.message.node() == newer.message.node()
	}
	return false
}

// deafen says that no more messages will come.
func (b *mailbox) deafen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = true
	b.wake()
}

func (b *mailbox) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns all unread messages, whether anything happened, and whether no
// more can come.
func (b *mailbox) take() (items []item, touched, deaf bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	items, b.items = b.items, nil
	touched, b.touched = b.touched || len(items) > 0, false
	return items, touched, b.deaf
}

// node is the node that a message is about, in the ids of the prompt.
func (m *message) node() string {
	if m.Data.DisplayNode != "" {
		return m.Data.DisplayNode
	}
	if m.Data.Node != nil {
		return *m.Data.Node
	}
	return ""
}
