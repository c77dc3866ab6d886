package stub

import (
	"math/big"
	"regexp"
	"strings"
	"unicode"
)

// textNodes adds primitives, text and regular expressions.
func textNodes(m map[string]nodeFunc) {
	value := of(func(c *call) any { return c.args["value"] })
	for _, n := range []string{"PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean"} {
		m[n] = value
	}
	m["StringConcatenate"] = of(func(c *call) any {
		return c.text("string_a", "") + c.text("delimiter", "") + c.text("string_b", "")
	})
	m["StringSubstring"] = of(func(c *call) any {
		r := []rune(c.text("string", ""))
		from, to := slice(c.int("start", 0), len(r)), slice(c.int("end", 0), len(r))
		return string(r[min(from, to):to])
	})
	m["StringLength"] = of(func(c *call) any { return big.NewInt(int64(runeCount(c.text("string", "")))) })
	m["CaseConverter"] = of(caseConverter)
	m["StringTrim"] = of(func(c *call) any {
		s := c.text("string", "")
		switch c.text("mode", "Both") {
		case "Left":
			return strings.TrimLeftFunc(s, unicode.IsSpace)
		case "Right":
			return strings.TrimRightFunc(s, unicode.IsSpace)
		}
		return strings.TrimSpace(s)
	})
	m["StringReplace"] = of(func(c *call) any {
		return strings.ReplaceAll(c.text("string", ""), c.text("find", ""), c.text("replace", ""))
	})
	m["StringContains"] = of(func(c *call) any {
		a, b := folded(c, "string"), folded(c, "substring")
		return strings.Contains(a, b)
	})
	m["StringCompare"] = of(func(c *call) any {
		a, b := folded(c, "string_a"), folded(c, "string_b")
		switch c.text("mode", "Equal") {
		case "Starts With":
			return strings.HasPrefix(a, b)
		case "Ends With":
			return strings.HasSuffix(a, b)
		}
		return a == b
	})
	m["RegexMatch"] = regex(func(c *call, re *regexp.Regexp) any { return re.MatchString(c.text("string", "")) })
	m["RegexExtract"] = regex(regexExtract)
	m["RegexReplace"] = regex(regexReplace)
	m["PreviewAny"] = func(c *call) ([]any, *object, *exception) {
		s := show(c.args["source"])
		return []any{s}, obj("text", []any{s}), nil
	}
}

func show(v any) string {
	switch v := v.(type) {
	case *picture, *mask, *latent, *token, *audio, *video:
		return "STUB value"
	default:
		return pyStr(v)
	}
}

func slice(i, n int) int {
	if i < 0 {
		i += n
	}
	return clamp(i, 0, n)
}

func folded(c *call, name string) string {
	s := c.text(name, "")
	if !c.bool("case_sensitive", true) {
		return strings.ToLower(s)
	}
	return s
}

func caseConverter(c *call) any {
	s := c.text("string", "")
	switch c.text("mode", "") {
	case "UPPERCASE":
		return strings.ToUpper(s)
	case "lowercase":
		return strings.ToLower(s)
	case "Capitalize":
		r := []rune(strings.ToLower(s))
		if len(r) > 0 {
			r[0] = unicode.ToUpper(r[0])
		}
		return string(r)
	case "Title Case":
		before := ' '
		return strings.Map(func(r rune) rune {
			defer func() { before = r }()
			if unicode.IsLetter(before) {
				return unicode.ToLower(r)
			}
			return unicode.ToUpper(r)
		}, s)
	}
	return s
}

// regex compiles the pattern with the node's flags. Go's engine has no
// look-around and no back references: a pattern that needs them raises, as a
// broken one does.
func regex(f func(c *call, re *regexp.Regexp) any) nodeFunc {
	return func(c *call) ([]any, *object, *exception) {
		flags := ""
		for _, fl := range []struct{ name, flag string }{{"case_insensitive", "i"}, {"multiline", "m"}, {"dotall", "s"}} {
			def := fl.name == "case_insensitive" && c.class.Name != "RegexReplace"
			if c.bool(fl.name, def) {
				flags += fl.flag
			}
		}
		pattern := c.text("regex_pattern", "")
		if flags != "" {
			pattern = "(?" + flags + ")" + pattern
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, nil, raise("re.PatternError", err.Error())
		}
		return one(f(c, re))
	}
}

func regexExtract(c *call, re *regexp.Regexp) any {
	s, group := c.text("string", ""), c.int("group_index", 1)
	switch c.text("mode", "First Match") {
	case "All Matches":
		return strings.Join(re.FindAllString(s, -1), "\n")
	case "First Group":
		if m := re.FindStringSubmatch(s); m != nil && group < len(m) {
			return m[group]
		}
		return ""
	case "All Groups":
		var out []string
		for _, m := range re.FindAllStringSubmatch(s, -1) {
			if group < len(m) && m[group] != "" {
				out = append(out, m[group])
			}
		}
		return strings.Join(out, "\n")
	}
	return re.FindString(s)
}

var pythonGroup = regexp.MustCompile(`\\(\d)`)

func regexReplace(c *call, re *regexp.Regexp) any {
	s, with := c.text("string", ""), strings.ReplaceAll(c.text("replace", ""), "$", "$$")
	with = pythonGroup.ReplaceAllString(with, "${$1}")
	left := c.int("count", 0)
	if left <= 0 {
		return re.ReplaceAllString(s, with)
	}
	var out []byte
	at := 0
	for _, m := range re.FindAllStringSubmatchIndex(s, left) {
		out = append(out, s[at:m[0]]...)
		out = re.ExpandString(out, with, s, m)
		at = m[1]
	}
	return string(append(out, s[at:]...))
}
