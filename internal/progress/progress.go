// Package progress carries what long work tells its caller. Libraries send
// events; only internal/term draws them.
package progress

// State is where a step is.
type State string

// The states of a step.
const (
	Running State = "running"
	Done    State = "done"
	Cached  State = "cached"
	Warned  State = "warned"
	Failed  State = "failed"
)

// Event is one fact about a step. Done and Total are bytes unless Unit says
// otherwise; Total 0 means unknown.
type Event struct {
	// Step groups events: check, models, image, push …
	Step string `json:"step"`
	// State is Running until the step or item has ended.
	State State `json:"state"`
	// Item is what the step works on, such as a model's file name.
	Item string `json:"item,omitempty"`
	// Text is a short human fact, such as "9 layers, 7.9 GB".
	Text  string `json:"text,omitempty"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

// Func receives events. It may be called from several goroutines and must not
// block for long. A nil Func is not allowed; use Discard.
type Func func(Event)

// Discard drops every event.
func Discard(Event) {}
