package catalog

import "bytes"

// withoutNonFinite replaces NaN, Infinity and -Infinity outside strings by
// null. The text comes back as it is where there is none.
func withoutNonFinite(b []byte) []byte {
	if !bytes.Contains(b, []byte("NaN")) && !bytes.Contains(b, []byte("Infinity")) {
		return b
	}
	out := make([]byte, 0, len(b))
	inString := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			out = append(out, c)
			if c == '\\' && i+1 < len(b) {
				i++
				out = append(out, b[i])
			} else if c == '"' {
				inString = false
			}
			continue
		}
		replaced := false
		for _, w := range []string{"NaN", "-Infinity", "Infinity"} {
			if bytes.HasPrefix(b[i:], []byte(w)) {
				out = append(out, "null"...)
				i += len(w) - 1
				replaced = true
				break
			}
		}
		if !replaced {
			inString = c == '"'
			out = append(out, c)
		}
	}
	return out
}
