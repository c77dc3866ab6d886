package stub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// object is a JSON object that keeps the order of its keys, as a Python dict
// does: the order of a prompt's inputs decides which node runs first.
type object struct {
	keys   []string
	values map[string]any
}

// obj builds an object of alternating keys and values.
func obj(kv ...any) *object {
	o := &object{values: make(map[string]any, len(kv)/2)}
	for i := 0; i+1 < len(kv); i += 2 {
		o.set(kv[i].(string), kv[i+1])
	}
	return o
}

func (o *object) set(key string, v any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func (o *object) get(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.values[key]
	return v, ok
}

func (o *object) del(key string) {
	if _, ok := o.values[key]; !ok {
		return
	}
	delete(o.values, key)
	for i, k := range o.keys {
		if k == key {
			o.keys = append(o.keys[:i:i], o.keys[i+1:]...)
			return
		}
	}
}

// copyValue copies containers, so that one holder's changes do not show in
// another's.
func copyValue(v any) any {
	switch v := v.(type) {
	case *object:
		out := obj()
		for _, k := range v.keys {
			out.set(k, copyValue(v.values[k]))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = copyValue(v[i])
		}
		return out
	}
	return v
}

// The tokens that Python's JSON knows and Go's does not travel through Go's
// decoder as strings that no JSON text of a client can hold by accident.
const nonFinitePrefix = "\x00number:"

var nonFinite = map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}

// maxDepth bounds nesting; Python gives up at about a thousand levels.
const maxDepth = 900

// parseJSON reads what Python's json.loads reads: integers become *big.Int,
// other numbers float64, objects *object; the last of equal keys counts.
func parseJSON(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(quoteNonFinite(b)))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the value")
	}
	return v, nil
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return parseList(dec, depth)
		}
		return parseObject(dec, depth)
	case json.Number:
		return parseNumber(string(t))
	case string:
		if token, ok := strings.CutPrefix(t, nonFinitePrefix); ok {
			if f, ok := nonFinite[token]; ok {
				return f, nil
			}
		}
		return t, nil
	default:
		return t, nil
	}
}

func parseList(dec *json.Decoder, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

func parseObject(dec *json.Decoder, depth int) (any, error) {
	o := obj()
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o.set(k.(string), v)
	}
	_, err := dec.Token()
	return o, err
}

// maxDigits is Python's limit for turning text into an integer.
const maxDigits = 4300

func parseNumber(s string) (any, error) {
	if strings.ContainsAny(s, ".eE") {
		// Too large a number is infinity, as in Python.
		f, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("not a number: %s", s)
		}
		return f, nil
	}
	if len(s) > maxDigits {
		return nil, errors.New("integer of too many digits")
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return nil, fmt.Errorf("not an integer: %s", s)
	}
	return n, nil
}

// quoteNonFinite turns NaN, Infinity and -Infinity outside of strings into the
// strings that parseValue turns back.
func quoteNonFinite(b []byte) []byte {
	if !bytes.Contains(b, []byte("NaN")) && !bytes.Contains(b, []byte("Infinity")) {
		return b
	}
	var out bytes.Buffer
	inString := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			out.WriteByte(c)
			switch {
			case c == '\\' && i+1 < len(b):
				i++
				out.WriteByte(b[i])
			case c == '"':
				inString = false
			}
			continue
		}
		if c == '"' {
			inString = true
		}
		token := ""
		for _, t := range []string{"NaN", "Infinity", "-Infinity"} {
			if bytes.HasPrefix(b[i:], []byte(t)) {
				token = t
			}
		}
		if token == "" {
			out.WriteByte(c)
			continue
		}
		out.WriteString(`"\u0000number:` + token + `"`)
		i += len(token) - 1
	}
	return out.Bytes()
}
