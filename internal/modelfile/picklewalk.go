package modelfile

import (
	"encoding/binary"
	"strings"
)

// value is what a pickle has on its stack, as far as it matters here.
type value struct {
	kind kind
	text string // of a string, or "module name" of a global
}

type kind byte

const (
	other kind = iota
	mark
	text
	global
)

const (
	// maxStack and maxMemo bound memory: real files stay far below.
	maxStack = 8 << 20
	maxMemo  = 8 << 20
	// maxName is the longest string that can name a global.
	maxName = 1024
)

// machine follows a pickle without running anything.
type machine struct {
	in    *counter
	stack []value
	memo  map[uint64]value
	found map[string]bool
}

// walk follows one pickle to its end and adds the globals that it names.
func walk(in *counter, found map[string]bool) error {
	m := &machine{in: in, memo: map[uint64]value{}, found: found}
	for {
		op, err := in.byte()
		if err != nil {
			return err
		}
		if op == '.' {
			return m.drop(1)
		}
		if err := m.step(op); err != nil {
			return err
		}
		if len(m.stack) > maxStack || len(m.memo) > maxMemo {
			return badf("it is impossibly large")
		}
	}
}

// fixed are opcodes whose argument is n bytes that do not matter, and that put
// something on the stack.
var fixed = map[byte]uint64{'J': 4, 'K': 1, 'M': 2, 'G': 8}

// sized are opcodes with a length of n bytes before as many bytes of content.
var sized = map[byte]int{'T': 4, 'U': 1, 'X': 4, 'B': 4, 'C': 1, 0x8a: 1, 0x8b: 4, 0x8c: 1, 0x8d: 8, 0x8e: 8, 0x96: 8}

// texts are those of them that make a string.
const texts = "TUX\x8c\x8d"

// step follows one opcode.
func (m *machine) step(op byte) error {
	if n, ok := fixed[op]; ok {
		m.push(value{})
		return m.in.skip(n)
	}
	if n, ok := sized[op]; ok {
		return m.sized(op, n)
	}
	switch op {
	case 0x80: // PROTO
		p, err := m.in.byte()
		if err == nil && p > 5 {
			return badf("it has the unknown protocol %d", p)
		}
		return err
	case 0x95: // FRAME
		return m.in.skip(8)
	case '(':
		m.push(value{kind: mark})
	case 'N', ')', ']', '}', 0x88, 0x89, 0x8f: // constants, empty containers
		m.push(value{})
	case 0x97: // NEXT_BUFFER
		return badf("it wants buffers from outside")
	case 0x98: // READONLY_BUFFER
		return m.replace(1, value{})
	case 'F', 'I', 'L', 'P', 'S', 'V', 'c', 'i', 'g', 'p':
		return m.lines(op)
	case 'q', 'r', 0x94, 'h', 'j':
		return m.remember(op)
	case 0x82, 0x83, 0x84: // EXT1, EXT2, EXT4
		return badf("it uses Python's extension registry")
	default:
		return m.reshape(op)
	}
	return nil
}

// reshape follows the opcodes that only work on the stack.
func (m *machine) reshape(op byte) error {
	switch op {
	case '0': // POP, which also takes a mark
		return m.drop(1)
	case '1': // POP_MARK
		return m.toMark(nil)
	case '2': // DUP
		if len(m.stack) == 0 {
			return errStack()
		}
		m.push(m.stack[len(m.stack)-1])
	case 'R', 0x81: // REDUCE, NEWOBJ
		return m.replace(2, value{})
	case 0x92: // NEWOBJ_EX
		return m.replace(3, value{})
	case 'b': // BUILD
		return m.build()
	case 0x93: // STACK_GLOBAL
		return m.stackGlobal()
	case 'Q', 0x85: // BINPERSID, TUPLE1
		return m.replace(1, value{})
	case 0x86:
		return m.replace(2, value{})
	case 0x87:
		return m.replace(3, value{})
	case 'a': // APPEND
		return m.drop(1)
	case 's': // SETITEM
		return m.drop(2)
	case 'e', 'u', 0x90: // APPENDS, SETITEMS, ADDITEMS
		return m.toMark(nil)
	case 'd', 'l', 't', 'o', 0x91: // DICT, LIST, TUPLE, OBJ, FROZENSET
		return m.toMark(&value{})
	default:
		return badf("it is no pickle: there is no opcode %#x", op)
	}
	return nil
}

func errStack() error { return badf("it takes more from its stack than is there") }

func (m *machine) push(v value) { m.stack = append(m.stack, v) }

func (m *machine) drop(n int) error {
	if len(m.stack) < n {
		return errStack()
	}
	m.stack = m.stack[:len(m.stack)-n]
	return nil
}

// replace takes n values, none of them a mark, and puts v there.
func (m *machine) replace(n int, v value) error {
	if len(m.stack) < n {
		return errStack()
	}
	for _, old := range m.stack[len(m.stack)-n:] {
		if old.kind == mark {
			return errStack()
		}
	}
	m.stack = append(m.stack[:len(m.stack)-n], v)
	return nil
}

// toMark takes all down to the last mark, and puts v there.
func (m *machine) toMark(v *value) error {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if m.stack[i].kind == mark {
			if m.stack = m.stack[:i]; v != nil {
				m.push(*v)
			}
			return nil
		}
	}
	return errStack()
}

// build gives an object its state. A class or function as such has none to
// give, but could be changed that way for the whole process.
func (m *machine) build() error {
	if len(m.stack) < 2 {
		return errStack()
	}
	if on := m.stack[len(m.stack)-2]; on.kind == global {
		return badf("it changes %s itself", strings.ReplaceAll(on.text, " ", "."))
	}
	return m.drop(1)
}

func (m *machine) stackGlobal() error {
	if len(m.stack) < 2 {
		return errStack()
	}
	module, name := m.stack[len(m.stack)-2], m.stack[len(m.stack)-1]
	if module.kind != text || name.kind != text {
		return badf("it hides what it calls")
	}
	if err := m.name(module.text, name.text); err != nil {
		return err
	}
	return m.replace(2, value{kind: global, text: module.text + " " + name.text})
}

// name takes note of a global.
func (m *machine) name(module, name string) error {
	for _, s := range []string{module, name} {
		if s == "" || len(s) > maxName || strings.ContainsAny(s, " \t\r\n\x00") {
			return badf("it hides what it calls")
		}
	}
	if m.found[module+" "+name] = true; len(m.found) > 10_000 {
		return badf("it names more than 10000 globals")
	}
	return nil
}

// sized reads content with its length before it. A string that could name a
// global is kept.
func (m *machine) sized(op byte, width int) error {
	b, err := m.in.take(width)
	if err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(append(b, make([]byte, 8-width)...))
	if n > 1<<40 {
		return badf("it has a string of %d bytes", n)
	}
	if !strings.Contains(texts, string([]byte{op})) || n > maxName {
		m.push(value{})
		return m.in.skip(n)
	}
	s, err := m.in.take(int(n))
	m.push(value{kind: text, text: string(s)})
	return err
}

// lines reads opcodes whose arguments are lines.
func (m *machine) lines(op byte) error {
	s, err := m.in.line()
	if err != nil {
		return err
	}
	switch op {
	case 'S', 'V':
		// An escaped or oddly quoted string names no global that is allowed.
		v := value{}
		if op == 'S' && len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
			v = value{kind: text, text: s[1 : len(s)-1]}
		} else if op == 'V' {
			v = value{kind: text, text: s}
		}
		if strings.Contains(s, `\`) || len(s) > maxName {
			v = value{}
		}
		m.push(v)
	case 'c', 'i':
		name, err := m.in.line()
		if err != nil {
			return err
		}
		if err := m.name(s, name); err != nil {
			return err
		}
		if op == 'i' { // INST takes its arguments down to the mark
			return m.toMark(&value{})
		}
		m.push(value{kind: global, text: s + " " + name})
	case 'g', 'p':
		n, ok := number(s)
		if !ok {
			return badf("it has the memo key %.20q", s)
		}
		return m.memoize(op == 'p', n)
	default:
		m.push(value{})
	}
	return nil
}

func number(s string) (uint64, bool) {
	var n uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1<<40 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, s != ""
}

// remember follows the binary opcodes of the memo.
func (m *machine) remember(op byte) error {
	width := map[byte]int{'q': 1, 'h': 1, 'r': 4, 'j': 4}[op]
	if width == 0 { // MEMOIZE
		return m.memoize(true, uint64(len(m.memo)))
	}
	b, err := m.in.take(width)
	if err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(append(b, make([]byte, 8-width)...))
	return m.memoize(op == 'q' || op == 'r', n)
}

func (m *machine) memoize(put bool, n uint64) error {
	if put {
		if len(m.stack) == 0 || m.stack[len(m.stack)-1].kind == mark {
			return errStack()
		}
		m.memo[n] = m.stack[len(m.stack)-1]
		return nil
	}
	v, ok := m.memo[n]
	if !ok {
		return badf("it reads memo %d before it was written", n)
	}
	m.push(v)
	return nil
}
