package python

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Requirement is one line that somebody asks for.
type Requirement struct {
	// Name is the normalised name.
	Name string
	// Line is what the resolver gets.
	Line string
	// From is who asks: comfyui, a pack's folder, or the service file.
	From string
	// File and No are where it stands, Raw how.
	File string
	No   int
	Raw  string
}

// Place is where a requirement stands.
func (r Requirement) Place() string {
	if r.No == 0 {
		return r.File
	}
	return fmt.Sprintf("%s:%d", r.File, r.No)
}

// Note is a line that was changed or left out, and why.
type Note struct {
	From string `json:"from"`
	Line string `json:"line"`
	What string `json:"what"`
}

// Protected come with the choice of torch, never with a requirement file: the
// default build of an index is for another GPU than the one asked for.
var Protected = map[string]bool{"torch": true, "torchvision": true, "torchaudio": true}

// shadow is a package unrelated to ComfyUI that hides its own module.
const shadow = "comfy"

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`)
	dashes      = regexp.MustCompile(`[-_.]+`)
	comment     = regexp.MustCompile(`(^|\s+)#.*$`)
	specForm    = regexp.MustCompile(`^\s*(\[[A-Za-z0-9._, -]*\])?\s*(\(?\s*(===|==|~=|!=|<=|>=|<|>)[^;@]*\)?)?\s*(;.*)?$`)
	lineOptions = regexp.MustCompile(`\s+--?(index-url|extra-index-url|hash|global-option|install-option|config-settings?|trusted-host|find-links)(=|\s+)\S+`)
)

// Normal is a package name as indexes compare it.
func Normal(name string) string {
	return strings.ToLower(dashes.ReplaceAllString(name, "-"))
}

// parseLine reads one requirement, without comment. The note says what was
// changed or why nothing is left of it; a line that is no requirement at all
// gives neither.
func parseLine(line string) (req Requirement, note string) {
	if stripped := lineOptions.ReplaceAllString(line, ""); stripped != line {
		line, note = stripped, "its options are left out"
	}
	line = strings.TrimSpace(line)
	if rest, ok := editable(line); ok {
		line, note = rest, "installed as a package, not editable"
	}
	switch {
	case strings.HasPrefix(line, "-"):
		return req, "an option; left out: it would change how everything is installed"
	case strings.HasPrefix(line, "git+"), strings.HasPrefix(line, "hg+"), strings.HasPrefix(line, "svn+"), strings.HasPrefix(line, "bzr+"):
		return repository("", line)
	case strings.HasPrefix(line, "http://"), strings.HasPrefix(line, "https://"):
		name := fileName(line)
		if name == "" {
			return req, "an address whose package has no name; write NAME @ ADDRESS"
		}
		return Requirement{Name: name, Line: name + " @ " + line}, note
	case strings.HasPrefix(line, "file:"), strings.HasPrefix(line, "."), strings.HasPrefix(line, "/"), strings.HasSuffix(line, ".whl") && !strings.Contains(line, "@"):
		return req, "a file of somebody's machine; left out"
	}
	name := nameForm.FindString(line)
	if name == "" {
		return req, "no requirement; left out"
	}
	rest := line[len(name):]
	if before, address, ok := strings.Cut(rest, "@"); ok && specForm.MatchString(before) && !strings.Contains(before, ";") {
		address = strings.TrimSpace(address)
		if strings.Contains(address, "+") && strings.Contains(strings.SplitN(address, ":", 2)[0], "+") {
			return repository(Normal(name), address)
		}
		if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") {
			return req, "a file of somebody's machine; left out"
		}
		return Requirement{Name: Normal(name), Line: Normal(name) + strings.TrimSpace(before) + " @ " + address}, note
	}
	if !specForm.MatchString(rest) {
		return req, "no requirement; left out"
	}
	return Requirement{Name: Normal(name), Line: Normal(name) + strings.TrimSpace(rest)}, note
}

func editable(line string) (string, bool) {
	for _, o := range []string{"-e ", "--editable ", "--editable="} {
		if rest, ok := strings.CutPrefix(line, o); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return line, false
}

// repository is a package straight from a repository. It has no file to hash;
// on the hosts that give archives of a commit there is one.
func repository(name, line string) (Requirement, string) {
	address, fragment, _ := strings.Cut(line, "#")
	if q, err := url.ParseQuery(fragment); err == nil && name == "" {
		name = Normal(nameForm.FindString(q.Get("egg")))
	}
	if name == "" {
		base, _, _ := strings.Cut(path.Base(address), "@")
		name = Normal(nameForm.FindString(strings.TrimSuffix(base, ".git")))
	}
	return Requirement{Name: name, Line: ""}, "a repository, which has no file to pin by hash"
}

// fileName is the package of a wheel's or archive's address: its first part.
func fileName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	base := path.Base(u.Path)
	if strings.HasSuffix(base, ".whl") {
		name, _, _ := strings.Cut(base, "-")
		return Normal(name)
	}
	for _, ext := range []string{".tar.gz", ".zip"} {
		stem, ok := strings.CutSuffix(base, ext)
		if i := strings.LastIndexByte(stem, '-'); ok && i > 0 && u.Fragment == "" {
			return Normal(stem[:i])
		}
	}
	return ""
}
