package comfy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// decode reads the engine's JSON. Python writes bare NaN and Infinity, which
// are not JSON; they become null.
func decode(b []byte, into any) error {
	err := json.Unmarshal(b, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return json.Unmarshal(strict(b), into)
	}
	return err
}

// strict replaces the words that Python adds to JSON, outside strings, by null.
func strict(b []byte) []byte {
	words := [][]byte{[]byte("-Infinity"), []byte("Infinity"), []byte("NaN")}
	out := make([]byte, 0, len(b))
	inString := false
scan:
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			out = append(out, c)
			switch {
			case c == '\\' && i+1 < len(b):
				i++
				out = append(out, b[i])
			case c == '"':
				inString = false
			}
			continue
		}
		if c == '-' || c == 'I' || c == 'N' {
			for _, w := range words {
				if bytes.HasPrefix(b[i:], w) {
					out = append(out, "null"...)
					i += len(w) - 1
					continue scan
				}
			}
		}
		inString = c == '"'
		out = append(out, c)
	}
	return out
}

// field is one member of a JSON object.
type field struct {
	Name  string
	Value json.RawMessage
}

// fields is a JSON object with its members in their own order, which for
// outputs is the order in which nodes ran. Null is no fields.
type fields []field

// UnmarshalJSON reads an object or null.
func (f *fields) UnmarshalJSON(b []byte) error {
	*f = nil
	dec := json.NewDecoder(bytes.NewReader(b))
	t, err := dec.Token()
	if err != nil {
		return err
	}
	if t == nil {
		return nil
	}
	if t != json.Delim('{') {
		return fmt.Errorf("want an object, have %v", t)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		m := field{Name: name.(string)}
		if err := dec.Decode(&m.Value); err != nil {
			return err
		}
		*f = append(*f, m)
	}
	_, err = dec.Token()
	return err
}
