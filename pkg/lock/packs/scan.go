package packs

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Classes are the node classes that a pack's source names. They are read, not
// run: what a pack makes up while it starts is not among them.
type Classes struct {
	// Defined are keys of the pack's class mappings, sorted.
	Defined []string
	// Mentioned are all string literals that could be class names.
	mentioned map[string]bool
}

// Defines says whether the pack defines a class, as far as its source shows.
func (c Classes) Defines(class string) bool {
	_, ok := slices.BinarySearch(c.Defined, class)
	return ok
}

// Mentions says whether the class's name stands anywhere in the pack's source.
func (c Classes) Mentions(class string) bool { return c.mentioned[class] }

// Limits of a scan.
const (
	maxSource  = 4 << 20 // bytes of one file
	maxSources = 5000    // files
	maxName    = 200     // bytes of a class name
)

// Scan reads the Python files of a pack.
func Scan(dir string) (Classes, error) {
	found := map[string]bool{}
	c := Classes{mentioned: map[string]bool{}}
	files := 0
	err := eachFile(dir, func(rel string, open func() (io.ReadCloser, error)) error {
		base := path.Base(rel)
		if !strings.HasSuffix(base, ".py") && rel != "node_list.json" {
			return nil
		}
		if files++; files > maxSources {
			return fs.SkipAll
		}
		b, err := readAll(open)
		if err != nil {
			return err
		}
		if rel == "node_list.json" {
			var list map[string]json.RawMessage
			if json.Unmarshal(b, &list) == nil {
				for name := range list {
					found[name] = true
				}
			}
			return nil
		}
		scanPython(string(b), found, c.mentioned)
		return nil
	})
	for name := range found {
		c.Defined = append(c.Defined, name)
		c.mentioned[name] = true
	}
	slices.Sort(c.Defined)
	return c, err
}

func readAll(open func() (io.ReadCloser, error)) ([]byte, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSource))
}

// eachFile calls f for the files of a pack that go into an image. Links are
// passed over: what they lead to is read by its own name.
func eachFile(dir string, f func(rel string, open func() (io.ReadCloser, error)) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(rel string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if rel != "." && !Keep(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return f(rel, func() (io.ReadCloser, error) { return root.Open(rel) })
	})
}

var (
	// mappingStart finds the dictionaries that packs list their classes in:
	// NODE_CLASS_MAPPINGS, and names that packs join into it.
	mappingStart = regexp.MustCompile(`\b([A-Za-z_]*(?:NODE|CLASS|node_class)[A-Za-z_]*(?:MAPPINGS?|CONFIG|mappings?)[A-Za-z_]*)\s*(?:\:\s*[A-Za-z_][\w\[\], .|]*)?(?:=|\.update\(|\|=)\s*\{`)
	mappingItem  = regexp.MustCompile(`\b[A-Za-z_]*CLASS_MAPPINGS?\[\s*(['"])((?:[^'"\\\n]|\\.)+)['"]\s*\]\s*=[^=]`)
	nodeID       = regexp.MustCompile(`\bnode_id\s*=\s*(['"])((?:[^'"\\\n]|\\.)+)['"]`)
)

// scanPython adds the class names of one file to defined, and every short
// string to mentioned.
func scanPython(src string, defined, mentioned map[string]bool) {
	src = alive(src)
	for _, m := range mappingStart.FindAllStringSubmatchIndex(src, -1) {
		name := src[m[2]:m[3]]
		if strings.Contains(strings.ToUpper(name), "DISPLAY") {
			continue
		}
		for _, key := range dictKeys(src[m[1]:]) {
			defined[key] = true
		}
	}
	for _, re := range []*regexp.Regexp{mappingItem, nodeID} {
		for _, m := range re.FindAllStringSubmatch(src, -1) {
			defined[unquote(m[2])] = true
		}
	}
	for t := range tokens(src) {
		if t.text {
			mentioned[t.value] = true
		}
	}
}

// alive is source with comments and texts over several lines blanked out: packs
// keep old mappings in them.
func alive(src string) string {
	b := []byte(src)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if b[i] != '\n' {
				b[i] = ' '
			}
		}
	}
	for i := 0; i < len(src); {
		switch src[i] {
		case '#':
			end := strings.IndexByte(src[i:], '\n')
			if end < 0 {
				end = len(src) - i
			}
			blank(i, i+end)
			i += end
		case '"', '\'':
			value, size := literalAt(src[i:])
			if size == 0 {
				i++
				continue
			}
			if strings.Contains(value, "\n") {
				blank(i, i+size)
			}
			i += size
		default:
			i++
		}
	}
	return string(b)
}

// dictKeys are the string keys of a dictionary literal, given what follows its
// opening brace.
func dictKeys(src string) []string {
	var keys []string
	depth := 0
	last := ""
	for t := range tokens(src) {
		switch {
		case t.text:
			last = t.value
			continue
		case t.value == "{" || t.value == "(" || t.value == "[":
			depth++
		case t.value == "}" || t.value == ")" || t.value == "]":
			if depth == 0 {
				return keys
			}
			depth--
		case t.value == ":" && depth == 0 && last != "":
			keys = append(keys, last)
		}
		last = ""
	}
	return nil // it never closes: no dictionary
}

// token is a string literal or a mark of Python source.
type token struct {
	value string
	text  bool
}

// tokens walks over Python source: string literals up to maxName, and single
// marks. Comments, and strings with a prefix that makes them more than text,
// are left out.
func tokens(src string) func(yield func(token) bool) {
	return func(yield func(token) bool) {
		for i := 0; i < len(src); {
			switch c := src[i]; c {
			case '#':
				end := strings.IndexByte(src[i:], '\n')
				if end < 0 {
					return
				}
				i += end
			case '"', '\'':
				value, size := literalAt(src[i:])
				if size == 0 {
					i++
					continue
				}
				formatted := i > 0 && strings.ContainsRune("fFbB", rune(src[i-1]))
				i += size
				if value != "" && len(value) <= maxName && !formatted && !yield(token{unquote(value), true}) {
					return
				}
			case ' ', '\t', '\r', '\n':
				i++
			default:
				i++
				if !yield(token{value: string(c)}) {
					return
				}
			}
		}
	}
}

// literalAt reads the string literal that src begins with; size is 0 where it
// does not end.
func literalAt(src string) (value string, size int) {
	quote := src[:1]
	if strings.HasPrefix(src, strings.Repeat(quote, 3)) {
		quote = src[:3]
	}
	for i := len(quote); i < len(src); i++ {
		switch {
		case src[i] == '\\':
			i++
		case strings.HasPrefix(src[i:], quote):
			return src[len(quote):i], i + len(quote)
		case len(quote) == 1 && src[i] == '\n':
			return "", 0
		}
	}
	return "", 0
}

var unescape = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`)

func unquote(s string) string { return unescape.Replace(s) }
