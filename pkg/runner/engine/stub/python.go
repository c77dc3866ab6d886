package stub

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/internal/python"
)

// dump writes a value as Python's json.dumps does: ", " and ": " between,
// everything but ASCII escaped, NaN and Infinity bare.
func dump(v any) []byte { return appendJSON(nil, v) }

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendString(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case *big.Int:
		return v.Append(b, 10)
	case float64:
		return append(b, floatText(v, "NaN", "Infinity")...)
	case json.RawMessage:
		return append(b, v...)
	case *object:
		return appendObject(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case []string:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return appendJSON(b, list)
	}
	panic(fmt.Sprintf("stub: no JSON for %T", v))
}

func appendObject(b []byte, o *object) []byte {
	if o == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, k := range o.keys {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendString(b, k)
		b = append(b, ": "...)
		b = appendJSON(b, o.values[k])
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r >= 0x20 && r < 0x7f:
			b = append(b, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, hi, lo)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// floatText is Python's repr of a float: the shortest digits, always with a
// point or an exponent.
func floatText(f float64, nan, inf string) string {
	switch {
	case math.IsNaN(f):
		return nan
	case math.IsInf(f, 1):
		return inf
	case math.IsInf(f, -1):
		return "-" + inf
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		return s
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pyStr is Python's str of a JSON value.
func pyStr(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return pyRepr(v)
}

// pyRepr is Python's repr of a JSON value.
func pyRepr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return quoteRepr(v)
	case float64:
		return floatText(v, "nan", "inf")
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = pyRepr(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *object:
		parts := make([]string, len(v.keys))
		for i, k := range v.keys {
			parts[i] = quoteRepr(k) + ": " + pyRepr(v.values[k])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func quoteRepr(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	r := strings.NewReplacer(`\`, `\\`, quote, `\`+quote, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	return quote + r.Replace(s) + quote
}

// pyInt is Python's int(v).
func pyInt(v any) (*big.Int, error) {
	switch v := v.(type) {
	case *big.Int:
		return v, nil
	case bool:
		if v {
			return big.NewInt(1), nil
		}
		return new(big.Int), nil
	case float64:
		if math.IsNaN(v) {
			return nil, raise("ValueError", "cannot convert float NaN to integer")
		}
		if math.IsInf(v, 0) {
			return nil, raise("OverflowError", "cannot convert float infinity to integer")
		}
		n, _ := big.NewFloat(v).Int(nil)
		return n, nil
	case string:
		if n, ok := python.Int(v); ok {
			return n, nil
		}
		return nil, raise("ValueError", "invalid literal for int() with base 10: "+quoteRepr(v))
	}
	return nil, raise("TypeError", "int() argument must be a string, a bytes-like object or a real number, not '"+pyType(v)+"'")
}

// pyFloat is Python's float(v).
func pyFloat(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		if math.IsInf(f, 0) {
			return 0, raise("OverflowError", "int too large to convert to float")
		}
		return f, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case string:
		if f, ok := python.Float(v); ok {
			return f, nil
		}
		return 0, raise("ValueError", "could not convert string to float: "+quoteRepr(v))
	}
	return 0, raise("TypeError", "float() argument must be a string or a real number, not '"+pyType(v)+"'")
}

// pyBool is Python's bool(v).
func pyBool(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case float64:
		return v != 0
	case *big.Int:
		return v.Sign() != 0
	case []any:
		return len(v) > 0
	case *object:
		return len(v.keys) > 0
	}
	return true
}

func pyType(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case string:
		return "str"
	case float64:
		return "float"
	case *big.Int:
		return "int"
	case []any:
		return "list"
	case *object:
		return "dict"
	}
	return "object"
}

// pyEqual is Python's v == w for JSON values.
func pyEqual(v, w any) bool {
	if c, ok := pyCompare(v, w); ok {
		return c == 0
	}
	switch v := v.(type) {
	case nil:
		return w == nil
	case string:
		s, ok := w.(string)
		return ok && s == v
	case []any:
		l, ok := w.([]any)
		return ok && slices.EqualFunc(v, l, pyEqual)
	}
	return false
}

// pyCompare orders two numbers; ok is false where one is none (NaN included).
func pyCompare(v, w any) (int, bool) {
	a, b := pyNumber(v), pyNumber(w)
	if a == nil || b == nil {
		return 0, false
	}
	return a.Cmp(b), true
}

func pyNumber(v any) *big.Float {
	switch v := v.(type) {
	case bool:
		n, _ := pyInt(v) // a bool is always an integer
		return new(big.Float).SetInt(n)
	case *big.Int:
		return new(big.Float).SetPrec(uint(max(64, v.BitLen()))).SetInt(v)
	case float64:
		if math.IsNaN(v) {
			return nil
		}
		return new(big.Float).SetFloat64(v)
	}
	return nil
}

// exception is a Python exception as ComfyUI reports it.
type exception struct {
	kind    string // such as ValueError or PIL.UnidentifiedImageError
	message string
}

func raise(kind, message string) *exception { return &exception{kind, message} }

func raisef(kind, format string, a ...any) *exception {
	return &exception{kind, fmt.Sprintf(format, a...)}
}

func (e *exception) Error() string { return e.kind + ": " + e.message }

// asException makes an exception of any error.
func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	return &exception{"RuntimeError", err.Error()}
}

func runeCount(s string) int { return utf8.RuneCountInString(s) }
