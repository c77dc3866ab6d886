package scaffold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// scalar writes a text as YAML would have it, on one line.
func scalar(s string) string {
	b, err := yaml.Marshal(s)
	if err != nil || oneLine(s) != s || strings.Contains(s, "${") {
		return string(quoted(s))
	}
	return strings.TrimSuffix(string(b), "\n")
}

// quoted is a text in JSON, which is YAML too once the characters that YAML
// does not let stand are escaped.
func quoted(s string) json.RawMessage {
	if strings.Contains(s, "${") { // no variable of ours
		s = strings.ReplaceAll(s, "$", "$$")
	}
	var b bytes.Buffer
	for _, r := range string(asJSON(s)) {
		if unreadable(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

func asJSON(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

// unreadable are the characters that may not stand in YAML, or end a line there.
func unreadable(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == '\ufffe' || r == '\uffff'
}

// oneLine makes text fit for a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unreadable(r) {
			return ' '
		}
		return r
	}, s)
}

// flow writes a JSON value inside a YAML flow mapping; JSON is YAML.
func flow(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if plainFlow.MatchString(s) && !yamlWord.MatchString(s) {
			return s
		}
		return string(quoted(s))
	}
	return string(raw)
}

// yamlWord are texts that some reader of YAML takes for something else.
var yamlWord = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)

var plainFlow = regexp.MustCompile(`^[A-Za-z][A-Za-z ]*[A-Za-z]$`)
