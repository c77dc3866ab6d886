package validate

import (
	"bytes"
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Fixed is what safe fixes make of the files of a service.
type Fixed struct {
	// Files are the new bytes of the files that change, by the names that
	// findings use.
	Files map[string][]byte
	// Done are the findings that are gone, as they stood when they were fixed.
	Done []diag.Diagnostic
}

// maxRounds bounds how often fixes are looked for again: one may open the way
// to another, and of two at one place the second waits for the next round.
const maxRounds = 20

// Fix applies the safe fixes of a service in memory; nothing is written. A fix
// counts only where its finding is gone afterwards and no other has come, so
// that to fix once more changes nothing. wanted narrows the findings that are
// fixed; nil means all.
func Fix(ctx context.Context, o Options, wanted func(diag.Diagnostic) bool) (*Fixed, error) {
	f := &fixer{o: o, wanted: wanted, read: o.ReadFile, text: map[string][]byte{}, out: &Fixed{Files: map[string][]byte{}}, refused: map[string]bool{}}
	if f.read == nil {
		f.read = os.ReadFile
	}
	p, list, err := f.load(ctx, nil)
	if err != nil {
		return nil, err
	}
	for range maxRounds {
		picked := f.pick(list)
		if len(picked) == 0 {
			break
		}
		next, after, good, err := f.try(ctx, p, list, picked)
		if err != nil {
			return nil, err
		}
		if !good && len(picked) > 1 {
			next, after, good, err = f.oneByOne(ctx, p, list, picked)
			if err != nil {
				return nil, err
			}
		} else if !good {
			f.refused[key(picked[0])] = true
		}
		if good {
			p, list = next, after
		}
	}
	return f.out, nil
}

type fixer struct {
	o      Options
	wanted func(diag.Diagnostic) bool
	read   func(string) ([]byte, error)
	// text are files as changed so far, by the paths that they are read at.
	text map[string][]byte
	out  *Fixed
	// refused are fixes that did not mend, or that broke something else.
	refused map[string]bool
}

// load checks the files as they are now, with some of them replaced.
func (f *fixer) load(ctx context.Context, changed map[string][]byte) (*Plan, []diag.Diagnostic, error) {
	o := f.o
	o.ReadFile = func(name string) ([]byte, error) {
		for _, m := range []map[string][]byte{changed, f.text} {
			if b, ok := m[name]; ok {
				return b, nil
			}
		}
		return f.read(name)
	}
	return Load(ctx, o)
}

// pick takes the safe fixes that do not touch each other.
func (f *fixer) pick(list []diag.Diagnostic) []diag.Diagnostic {
	taken := map[string][]diag.Edit{}
	var picked []diag.Diagnostic
	for _, d := range list {
		if d.Fix == nil || !d.Fix.Safe || f.refused[key(d)] || f.wanted != nil && !f.wanted(d) {
			continue
		}
		file := d.FixFile()
		if !slices.ContainsFunc(d.Fix.Edits, func(e diag.Edit) bool { return touches(taken[file], e) }) {
			taken[file] = append(taken[file], d.Fix.Edits...)
			picked = append(picked, d)
		}
	}
	return picked
}

// touches reports whether an edit overlaps or adjoins one of others.
func touches(list []diag.Edit, e diag.Edit) bool {
	return slices.ContainsFunc(list, func(other diag.Edit) bool { return e.Start <= other.End && other.Start <= e.End })
}

// try applies fixes and keeps them where they do what they should.
func (f *fixer) try(ctx context.Context, p *Plan, list, picked []diag.Diagnostic) (*Plan, []diag.Diagnostic, bool, error) {
	edits := map[string][]diag.Edit{}
	for _, d := range picked {
		edits[d.FixFile()] = append(edits[d.FixFile()], d.Fix.Edits...)
	}
	byName, byPath := map[string][]byte{}, map[string][]byte{}
	for file, some := range edits {
		b, err := diag.Apply(p.Source(file), some)
		if err != nil {
			return nil, nil, false, nil //nolint:nilerr // a fix that does not fit its file is none
		}
		byName[file], byPath[inDir(f.o.Dir, file)] = b, b
	}
	next, after, err := f.load(ctx, byPath)
	if err != nil || !better(list, after, picked) {
		return nil, nil, false, err
	}
	maps.Copy(f.text, byPath)
	maps.Copy(f.out.Files, byName)
	f.out.Done = append(f.out.Done, picked...)
	return next, after, true, nil
}

// oneByOne keeps those of several fixes that do no harm by themselves. It ends
// at the first good one: the others' places have moved.
func (f *fixer) oneByOne(ctx context.Context, p *Plan, list, picked []diag.Diagnostic) (*Plan, []diag.Diagnostic, bool, error) {
	for _, d := range picked {
		next, after, good, err := f.try(ctx, p, list, []diag.Diagnostic{d})
		if err != nil || good {
			return next, after, good, err
		}
		f.refused[key(d)] = true
	}
	return nil, nil, false, nil
}

// key names a finding without its place, which edits move.
func key(d diag.Diagnostic) string {
	return strings.Join([]string{d.Code, d.File, d.Pointer, d.Message, d.Label}, "\x00")
}

// better reports whether the picked findings are gone and no other has come.
func better(before, after, picked []diag.Diagnostic) bool {
	count := map[string]int{}
	for _, d := range before {
		count[d.Code+"\x00"+d.File+"\x00"+d.Message]++
	}
	for _, d := range picked {
		count[d.Code+"\x00"+d.File+"\x00"+d.Message]--
	}
	for _, d := range after {
		k := d.Code + "\x00" + d.File + "\x00" + d.Message
		if count[k]--; count[k] < 0 && d.Severity != diag.SeverityNote {
			return false
		}
	}
	return true
}

// onlyText drops the fixes of a file whose text is not its bytes, such as a
// picture that carries a workflow: an edit would break it.
func onlyText(list []diag.Diagnostic, file, text []byte) {
	if bytes.Equal(file, text) {
		return
	}
	for i := range list {
		list[i].Fix = nil
	}
}
