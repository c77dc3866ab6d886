package diag

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe makes text from a stranger's file or server harmless on a terminal:
// control characters, escape sequences and bidirectional overrides become
// U+FFFD. Tabs and line ends stay.
func Safe(s string) string {
	clean := true
	for _, r := range s {
		if unsafeRune(r) {
			clean = false
			break
		}
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unsafeRune(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

func unsafeRune(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return unicode.IsControl(r)
}

// mark is how many bytes a byte order mark takes, which is no character.
func mark(src []byte) int {
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return 3
	}
	return 0
}

// At turns a byte offset of src into a Position. An offset past the end gives
// the end.
func At(src []byte, offset int) Position {
	line, start := 1, mark(src)
	offset = min(max(offset, start), len(src))
	before := src[:offset]
	for i, b := range before {
		if b == '\n' {
			line++
			start = i + 1
		}
	}
	return Position{Line: line, Column: utf8.RuneCount(before[start:]) + 1, Offset: offset}
}

// Offset turns a 1-based line and column (in characters) into a byte offset of
// src. Places past the end of a line or file give that end.
func Offset(src []byte, line, column int) int {
	i := mark(src)
	for ; line > 1 && i < len(src); i++ {
		if src[i] == '\n' {
			line--
		}
	}
	for ; column > 1 && i < len(src) && src[i] != '\n'; column-- {
		_, n := utf8.DecodeRune(src[i:])
		i += n
	}
	return i
}
