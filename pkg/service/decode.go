package service

import (
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// place is where a value stands.
type place struct{ key, value diag.Span }

// decoder walks YAML nodes and Go structs side by side. Every value's place is
// kept under its JSON pointer.
type decoder struct {
	*document
	places map[string]place
	// env is the environment that was merged over the file.
	env string
	// partial is set inside an overlay: nothing is required there.
	partial bool
}

// shaped is a type with short forms: it says which mapping a node stands for.
type shaped interface {
	decodeYAML(d *decoder, n *yaml.Node, at string)
}

func (d *decoder) decode(n *yaml.Node, v reflect.Value, at string) {
	n = resolve(n)
	if isNull(n) {
		return
	}
	if v.CanAddr() {
		switch t := v.Addr().Interface().(type) {
		case shaped:
			t.decodeYAML(d, n, at)
			return
		case scalar:
			d.scalar(n, t, at)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.decode(n, p.Elem(), at)
		v.Set(p)
	case reflect.Struct:
		d.mapping(n, v, at)
	case reflect.Slice:
		d.list(n, v, at)
	case reflect.String:
		if s, ok := d.text(n, at); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		d.boolean(n, v, at)
	case reflect.Int:
		d.integer(n, v, at)
	default:
		panic("service: no decoder for " + v.Type().String())
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && i < 100; i++ {
		n = n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a value"
}

// field is one key of a struct.
type field struct {
	key, check, enum, kind, loose, names string
	// old is a former name of the key, still read.
	old   string
	index int
}

func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			continue
		}
		list = append(list, field{key: key, index: i, check: f.Tag.Get("check"), enum: f.Tag.Get("enum"), kind: f.Tag.Get("kind"),
			loose: f.Tag.Get("loose"), names: f.Tag.Get("names"), old: f.Tag.Get("old")})
	}
	return list
}

// mapping decodes a struct: known keys only, each once.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, at string) {
	if n.Kind != yaml.MappingNode {
		d.add(n, "CY002", at, "%s is %s, a mapping is wanted", named(at), kindName(n))
		d.missingSpace(n)
		return
	}
	known := fields(v.Type())
	byKey := map[string]field{}
	var names []string
	for _, f := range known {
		byKey[f.key] = f
		names = append(names, f.key)
	}
	seen := map[string]pair{}
	entries := d.once(n, at)
	for _, p := range entries {
		key := p.key.Value
		f, ok := byKey[key]
		if !ok {
			if f, ok = former(known, key); ok {
				key = f.key
				if first, both := seen[key]; both {
					d.twice(p.key, first.key, at)
					continue
				}
				d.deprecated(p.key, pointer(at, key), key)
			}
		} else if first, both := seen[key]; both {
			d.twice(p.key, first.key, at)
			continue
		}
		seen[key] = p
		if !ok {
			if !strings.HasPrefix(key, "x-") || !openTo(v.Type()) {
				d.unknownKey(p.key, at, names, entries)
			}
			continue
		}
		here := pointer(at, key)
		d.keep(here, p.key, p.value)
		d.field(p.value, v.Field(f.index), f, here)
	}
	for _, f := range known {
		if p, ok := seen[f.key]; required(f.check) && !d.partial && (!ok || isNull(resolve(p.value))) {
			d.lacks(n, at, f.key)
		}
	}
}

// former finds the field that had that key once.
func former(known []field, key string) (field, bool) {
	for _, f := range known {
		if f.old == key && key != "" {
			return f, true
		}
	}
	return field{}, false
}

func (d *decoder) deprecated(n *yaml.Node, at, now string) {
	d.add(n, "CY010", at, "the key `%s` is deprecated", n.Value)
	d.label("now called `" + now + "`")
	d.help("write `" + now + "`")
	d.safeFix("rename to `"+now+"`", n, now)
}

func (d *decoder) lacks(n *yaml.Node, at, key string) {
	d.add(n, "CY008", at, "%s lacks `%s`", named(at), key)
}

// openTo says whether x-* keys may stand among a struct's own.
func openTo(t reflect.Type) bool {
	return t == reflect.TypeFor[Service]() || t == reflect.TypeFor[Target]()
}

// once lists a mapping's entries: those whose key is a text, each key once.
func (d *decoder) once(n *yaml.Node, at string) []pair {
	seen := map[string]*yaml.Node{}
	var list []pair
	for _, p := range d.pairs(n) {
		if p.key.Kind != yaml.ScalarNode && p.key.Kind != yaml.AliasNode {
			d.add(p.key, "CY002", at, "a key of %s is %s, a text is wanted", named(at), kindName(p.key))
			continue
		}
		if first, ok := seen[p.key.Value]; ok {
			d.twice(p.key, first, at)
			continue
		}
		seen[p.key.Value] = p.key
		list = append(list, p)
	}
	return list
}

var keyWithoutSpace = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_-]*):([^\s/:].*)$`)

// missingSpace explains count:1, which YAML takes for one text.
func (d *decoder) missingSpace(n *yaml.Node) {
	if m := keyWithoutSpace.FindStringSubmatch(n.Value); m != nil && n.Style == 0 {
		d.help("a space follows the colon: `" + m[1] + ": " + m[2] + "`")
	}
}

func required(check string) bool {
	return check == "required" || strings.HasPrefix(check, "required,")
}

// field decodes one value and applies the checks of its tag.
func (d *decoder) field(n *yaml.Node, v reflect.Value, f field, at string) {
	if f.kind == "named" {
		d.named(n, v, f.names, at)
		return
	}
	before := len(d.found)
	d.decode(n, v, at)
	if len(d.found) > before || isNull(resolve(n)) {
		return
	}
	d.check(resolve(n), v, f, at)
}

func (d *decoder) check(n *yaml.Node, v reflect.Value, f field, at string) {
	if f.enum != "" {
		d.enum(n, v, strings.Split(f.enum, "|"), at)
	}
	for _, c := range strings.Split(f.check, ",") {
		name, arg, _ := strings.Cut(c, "=")
		switch name {
		case "min", "max":
			limit, _ := strconv.ParseInt(arg, 10, 64)
			if v.Kind() == reflect.Pointer {
				v = v.Elem()
			}
			if got := v.Int(); name == "min" && got < limit || name == "max" && got > limit {
				d.add(n, "CY007", at, "`%s` is %d, the %simum is %d", f.key, got, name, limit)
			}
		default:
			d.form(n, v, name, f.key, at)
		}
	}
}

// form holds a text, or each text of a list, against one of forms.
func (d *decoder) form(n *yaml.Node, v reflect.Value, name, key, at string) {
	form, ok := forms[name]
	if !ok {
		return
	}
	if v.Kind() == reflect.Slice {
		for i := range min(v.Len(), len(n.Content)) {
			d.form(resolve(n.Content[i]), v.Index(i), name, key, pointer(at, strconv.Itoa(i)))
		}
		return
	}
	switch got := v.String(); {
	case form.re.MatchString(got), name == "secret" && secretValue.MatchString(got): // the latter is found by its spelling
	case name == "secret":
		d.add(n, "CS001", at, "%s looks like a secret's value", named(at))
		d.label("a name goes here; the value comes from the environment")
		d.help("write the name of a secret listed under `secrets:`, such as HF_TOKEN")
	default:
		d.add(n, "CY006", at, "`%s` is not %s", key, form.want)
		if plain := strings.ToLower(strings.TrimPrefix(got, "sha256:")); name == "sha256" && form.re.MatchString(plain) {
			d.help("write " + plain)
			d.safeFix("write it in lower case, without a prefix", n, plain)
		}
	}
}

func (d *decoder) enum(n *yaml.Node, v reflect.Value, allowed []string, at string) {
	one := func(n *yaml.Node, got string) {
		for _, a := range allowed {
			if a == got {
				return
			}
		}
		d.add(n, "CY007", at, "%s is %q", named(at), got)
		d.label("one of " + strings.Join(allowed, ", "))
		d.suggest(got, allowed)
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			if n.Kind == yaml.SequenceNode && i < len(n.Content) {
				one(resolve(n.Content[i]), v.Index(i).String())
			}
		}
		return
	}
	one(n, v.String())
}

// named decodes a mapping into a slice of structs with a Name field, in the
// order of the file. form is what the names must look like, if anything.
func (d *decoder) named(n *yaml.Node, v reflect.Value, form, at string) {
	n = resolve(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.add(n, "CY002", at, "%s is %s, a mapping from names is wanted", named(at), kindName(n))
		d.missingSpace(n)
		return
	}
	for _, p := range d.once(n, at) {
		key := p.key.Value
		here := pointer(at, key)
		d.keep(here, p.key, p.value)
		if f, ok := forms[form]; ok && !f.re.MatchString(key) {
			d.add(p.key, "CY006", here, "the name `%s` is not %s", key, f.want)
		}
		item := reflect.New(v.Type().Elem()).Elem()
		item.FieldByName("Name").SetString(key)
		d.item(p.value, item, here)
		v.Set(reflect.Append(v, item))
	}
}

// shortItems are the named entries that may be a bare value: that of the
// first field.
var shortItems = map[reflect.Type]bool{
	reflect.TypeFor[Pair](): true, reflect.TypeFor[Level](): true, reflect.TypeFor[Output](): true,
}

// item decodes one named entry.
func (d *decoder) item(n *yaml.Node, v reflect.Value, at string) {
	n = resolve(n)
	if isNull(n) {
		for _, f := range fields(v.Type()) {
			if required(f.check) && !d.partial {
				d.lacks(n, at, f.key)
				return
			}
		}
	}
	if n.Kind == yaml.ScalarNode && !isNull(n) && shortItems[v.Type()] {
		f := fields(v.Type())[0]
		d.keep(pointer(at, f.key), nil, n)
		d.field(n, v.Field(f.index), f, at)
		return
	}
	if env, ok := v.Addr().Interface().(*Environment); ok {
		d.environment(n, env, at)
		return
	}
	d.decode(n, v, at)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, at string) {
	if n.Kind != yaml.SequenceNode {
		d.add(n, "CY002", at, "%s is %s, a list is wanted", named(at), kindName(n))
		if n.Kind == yaml.ScalarNode {
			d.help("write [" + n.Value + "]")
		}
		return
	}
	defer func(p bool) { d.partial = p }(d.partial)
	d.partial = false // a list replaces the one below it
	for i, c := range n.Content {
		here := pointer(at, strconv.Itoa(i))
		d.keep(here, nil, c)
		if isNull(resolve(c)) {
			d.add(c, "CY008", here, "%s is empty", named(here))
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(c, item, here)
		v.Set(reflect.Append(v, item))
	}
}

// text takes a scalar as it is written: 3.10 stays 3.10, and 9614e93 is no
// number.
func (d *decoder) text(n *yaml.Node, at string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.add(n, "CY002", at, "%s is %s, a text is wanted", named(at), kindName(n))
		return "", false
	}
	return n.Value, true
}

var oldBooleans = map[string]bool{"yes": true, "on": true, "y": true, "no": false, "off": false, "n": false}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, at string) {
	if n.Kind != yaml.ScalarNode {
		d.add(n, "CY002", at, "%s is %s, true or false is wanted", named(at), kindName(n))
		return
	}
	if b, err := strconv.ParseBool(n.Value); err == nil && n.Tag == "!!bool" {
		v.SetBool(b)
		return
	}
	if b, ok := oldBooleans[strings.ToLower(n.Value)]; ok {
		v.SetBool(b)
		d.add(n, "CY011", at, "`%s` is a text in YAML 1.2", n.Value)
		d.help("write " + strconv.FormatBool(b))
		d.safeFix("write "+strconv.FormatBool(b), n, strconv.FormatBool(b))
		return
	}
	d.add(n, "CY004", at, "%s is %q, true or false is wanted", named(at), n.Value)
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, at string) {
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil {
		what := kindName(n)
		if n.Kind == yaml.ScalarNode {
			what = strconv.Quote(n.Value)
		}
		d.add(n, "CY004", at, "%s is %s, a whole number is wanted", named(at), what)
		return
	}
	v.SetInt(i)
}

func (d *decoder) scalar(n *yaml.Node, s scalar, at string) {
	if n.Kind != yaml.ScalarNode {
		d.add(n, "CY002", at, "%s is %s, a value is wanted", named(at), kindName(n))
		return
	}
	if err := s.parse(n.Value); err != nil {
		d.add(n, "CY006", at, "%s is %q", named(at), n.Value)
		d.label(err.Error())
	}
}

// named writes the end of a pointer for a message: `gpu` for /gpu.
func named(at string) string {
	if at == "" {
		return "the service file"
	}
	parts := strings.Split(at[1:], "/")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	if len(parts) > 1 {
		if _, err := strconv.Atoi(parts[len(parts)-1]); err == nil {
			return fmt.Sprintf("entry %s of `%s`", parts[len(parts)-1], strings.Join(parts[:len(parts)-1], "."))
		}
	}
	return "`" + strings.Join(parts, ".") + "`"
}

func pointer(at, key string) string {
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// aliases eases coming from other tools' files.
var keyAliases = map[string]string{
	"replicas": "scaling", "minimum": "min", "maximum": "max", "environment": "env", "apt": "system_packages",
	"pip": "python_packages", "custom_nodes": "nodes", "webhook": "runner.webhooks", "webhooks": "runner.webhooks",
	"resources": "gpu", "python": "build.python", "tier": "limits.tiers", "scale_to_zero": "scale_to_zero_after",
	"url": "source", "local_path": "path",
}

// unknownKey reports a key that the schema lacks; entries are those beside it.
func (d *decoder) unknownKey(n *yaml.Node, at string, names []string, entries []pair) {
	d.add(n, "CY001", at, "unknown key `%s` in %s", n.Value, named(at))
	d.label("not part of the service schema")
	guess := diag.Suggest(n.Value, names)
	if a, ok := keyAliases[n.Value]; guess == "" && ok && (at == "" || contains(names, a)) {
		guess = a
	}
	switch {
	case guess == "":
		sort.Strings(names)
		if len(names) <= 12 {
			d.help("known here: " + strings.Join(names, ", "))
		}
	case holds(entries, guess):
		d.help("did you mean `" + guess + "`? it is set already")
	case rival(entries, n, guess, names):
		d.help("did you mean `" + guess + "`?")
	case contains(names, guess):
		d.help("did you mean `" + guess + "`?")
		d.safeFix("rename to `"+guess+"`", n, guess)
	default:
		d.help("did you mean `" + guess + "`?")
	}
}

func holds(entries []pair, key string) bool {
	for _, p := range entries {
		if p.key.Value == key {
			return true
		}
	}
	return false
}

// rival reports whether another unknown key could mean the same one.
func rival(entries []pair, n *yaml.Node, guess string, names []string) bool {
	for _, p := range entries {
		if p.key != n && !contains(names, p.key.Value) && diag.Suggest(p.key.Value, names) == guess {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
