// Package python reads numbers from texts as Python's int() and float() do,
// which ComfyUI applies to the constants of a prompt.
package python

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// maxDigits is how long a text may be that Python reads as an integer.
const maxDigits = 4300

// Int is int(s); ok is false where Python raises ValueError.
func Int(s string) (n *big.Int, ok bool) {
	s = plain(s)
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	if len(digits) > maxDigits || len(s)-len(digits) > 1 || !grouped(digits) || strings.Trim(digits, "0123456789_") != "" {
		return nil, false
	}
	return new(big.Int).SetString(strings.ReplaceAll(s, "_", ""), 10)
}

// Float is float(s); ok is false where Python raises ValueError. It knows nan
// and inf, and what is too large becomes an infinity.
func Float(s string) (f float64, ok bool) {
	s = strings.ToLower(plain(s))
	if strings.ContainsAny(s, "xp") || !grouped(s) { // hexadecimal, which Go reads
		return 0, false
	}
	if strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-") == "nan" && len(s) < 5 {
		return math.NaN(), true
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || math.IsInf(f, 0)
}

// grouped reports whether underscores stand between digits only.
func grouped(s string) bool {
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || !digit(s[i-1]) || !digit(s[i+1])) {
			return false
		}
	}
	return s != ""
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// plain takes white space away and writes the digits of any script as ASCII
// ones.
func plain(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
	return strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII || !unicode.IsDigit(r) {
			return r
		}
		if r >= 0x1d7ce && r <= 0x1d7ff { // five rows of digits without a gap
			return '0' + (r-0x1d7ce)%10
		}
		d := rune(0)
		for d < 9 && unicode.IsDigit(r-d-1) {
			d++
		}
		return '0' + d
	}, s)
}
