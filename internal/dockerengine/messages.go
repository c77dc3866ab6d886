package dockerengine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// message is one line of the Engine's streaming answers.
type message struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Status   string `json:"status"`
	Error    string `json:"error"`
	Progress *struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	ErrorDetail *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errorDetail"`
	Aux json.RawMessage `json:"aux"`
}

// errCutShort marks an answer that ended in the middle.
var errCutShort = errors.New("the answer of Docker was cut short")

// messages reads an answer to its end and returns the error that it reports.
func messages(r io.Reader, each func(message)) error {
	dec := json.NewDecoder(r)
	for {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errCutShort
		}
		if err != nil {
			return fmt.Errorf("reading the answer of Docker: %w", err)
		}
		if each != nil {
			each(m)
		}
		if m.ErrorDetail != nil && m.ErrorDetail.Message != "" {
			return errors.New(m.ErrorDetail.Message)
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
	}
}
