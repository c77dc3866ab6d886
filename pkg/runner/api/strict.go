package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/pkg/runner/problem"
)

// strict refuses what JSON parsers understand differently: text that is no
// UTF-8, halves of surrogate pairs, and keys that come twice, of which one
// reader takes the first and another the last. The body is JSON already.
func strict(body []byte) *problem.Problem {
	if !utf8.Valid(body) {
		return problem.New("bad_request", "the body is not UTF-8")
	}
	if bytes.Contains(body, []byte(`\u`)) && loneSurrogate(body) {
		return problem.New("bad_request", `the body has half of a surrogate pair, such as \ud800`)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if key := twice(dec); key != "" {
		return problem.New("bad_request", fmt.Sprintf("the key `%s` comes twice in one object", key))
	}
	return nil
}

// twice finds a key that an object has twice.
func twice(dec *json.Decoder) string {
	type object struct {
		seen  map[string]bool // nil for a list
		value bool            // a value comes next, not a key
	}
	var open []object
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		var top *object
		if len(open) > 0 {
			top = &open[len(open)-1]
		}
		if key, ok := token.(string); ok && top != nil && top.seen != nil && !top.value {
			if top.seen[key] {
				return key
			}
			top.seen[key], top.value = true, true
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{seen: map[string]bool{}})
			continue
		case json.Delim('['):
			open = append(open, object{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		// A value has ended.
		if len(open) > 0 {
			open[len(open)-1].value = false
		}
	}
}

// loneSurrogate looks for an escape of half a pair.
func loneSurrogate(body []byte) bool {
	const high, low = 0xd800, 0xdc00
	unit := func(b []byte) int {
		var n int
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return -1
		}
		if _, err := fmt.Sscanf(string(b[2:6]), "%04x", &n); err != nil {
			return -1
		}
		return n
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		switch u := unit(body[i:]); {
		case u >= high && u < low:
			if next := unit(body[i+6:]); next < low || next > 0xdfff {
				return true
			}
			i += 11
		case u >= low && u <= 0xdfff:
			return true
		default:
			i++ // what is escaped is no escape
		}
	}
	return false
}
