package python

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/BurntSushi/toml"
)

// Requested is what the packs of one source ask for.
type Requested struct {
	Requirements []Requirement
	Notes        []Note
	// Repositories are requirements that name a repository, which has no file to
	// pin by hash.
	Repositories []Requirement
}

// Limits of requirement files.
const (
	maxIncludes = 8       // deep
	maxFile     = 1 << 20 // bytes
)

// Read reads the requirements of a source tree: requirements.txt with what it
// includes, else the dependencies in pyproject.toml. Names in drop are left
// out without a note.
func Read(dir, from string, drop map[string]bool) (Requested, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Requested{}, fmt.Errorf("reading the requirements of %s: %w", from, err)
	}
	defer root.Close()
	r := &reader{root: root, from: from, drop: drop}
	err = r.include("requirements.txt", 0)
	if errors.Is(err, fs.ErrNotExist) {
		err = r.project()
	}
	if err != nil {
		return Requested{}, fmt.Errorf("reading the requirements of %s: %w", from, err)
	}
	return r.out, nil
}

// Given reads requirements that the service file lists.
func Given(lines []string, from, file string) Requested {
	r := &reader{from: from}
	for _, l := range lines {
		r.line(l, file, 0)
	}
	return r.out
}

type reader struct {
	root *os.Root
	from string
	drop map[string]bool
	out  Requested
}

func (r *reader) text(file string) (string, error) {
	f, err := r.root.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	text := strings.TrimPrefix(string(b), "\ufeff")
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), err
}

func (r *reader) include(file string, depth int) error {
	if depth > maxIncludes {
		return fmt.Errorf("%s: requirements include one another too deeply", file)
	}
	text, err := r.text(file)
	if err != nil {
		return err
	}
	joined, start := "", 0
	for i, line := range strings.Split(text, "\n") {
		if joined == "" {
			start = i + 1
		}
		if head, ok := strings.CutSuffix(line, "\\"); ok {
			joined += head + " "
			continue
		}
		line, joined = strings.Join(strings.Fields(comment.ReplaceAllString(joined+line, "")), " "), ""
		if line == "" {
			continue
		}
		other, ok := included(line)
		if !ok {
			r.line(line, file, start)
			continue
		}
		err := r.include(path.Join(path.Dir(file), other), depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			r.note(line, "the file that it includes is not there")
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func included(line string) (string, bool) {
	for _, opt := range []string{"--requirement", "-r"} {
		if rest, ok := strings.CutPrefix(line, opt); ok {
			rest = strings.TrimSpace(strings.TrimLeft(rest, " \t="))
			return rest, rest != ""
		}
	}
	return "", false
}

func (r *reader) note(line, what string) {
	r.out.Notes = append(r.out.Notes, Note{From: r.from, Line: clean(line), What: what})
}

// clean takes passwords out of a line.
func clean(line string) string {
	scheme, rest, ok := strings.Cut(line, "://")
	if !ok {
		return line
	}
	host, tail, slash := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = "…@" + host[i+1:]
	}
	if slash {
		tail = "/" + tail
	}
	return scheme + "://" + host + tail
}

func (r *reader) line(line, file string, no int) {
	req, note := parseLine(line)
	req.From, req.File, req.No, req.Raw = r.from, file, no, line
	switch {
	case req.Name == "":
		r.note(line, note)
	case Protected[req.Name]:
		if !r.drop[req.Name] {
			r.note(line, "torch and its companions come with build.torch")
		}
	case req.Name == shadow:
		r.note(line, "an unrelated package that hides ComfyUI's own module; left out")
	case r.drop[req.Name]:
	case req.Line == "":
		r.out.Repositories = append(r.out.Repositories, req)
	default:
		if note != "" {
			r.note(line, note)
		}
		r.out.Requirements = append(r.out.Requirements, req)
	}
}

// project reads pyproject.toml, which may be absent or of any shape.
func (r *reader) project() error {
	text, err := r.text("pyproject.toml")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var p struct {
		Project struct {
			Dependencies []string `toml:"dependencies"`
		} `toml:"project"`
	}
	if _, err := toml.Decode(text, &p); err != nil {
		r.note("pyproject.toml", "it cannot be read; its dependencies are left out")
		return nil //nolint:nilerr // the note says it
	}
	for _, line := range p.Project.Dependencies {
		r.line(line, "pyproject.toml", 0)
	}
	return nil
}
