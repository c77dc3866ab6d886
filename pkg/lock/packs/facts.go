package packs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Script is a file that a pack wants to be run, and what it would do as far as
// its text shows.
type Script struct {
	SHA256  string
	Effects []string
}

// InstallScript reads install.py; ok is false where there is none.
func InstallScript(dir string) (Script, bool, error) { return script(dir, "install.py") }

// StartScript reads prestartup_script.py, which ComfyUI runs at every start.
func StartScript(dir string) (Script, bool, error) { return script(dir, "prestartup_script.py") }

func script(dir, name string) (Script, bool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Script{}, false, fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
	}
	defer root.Close()
	b, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Script{}, false, nil
	}
	if err != nil {
		return Script{}, false, fmt.Errorf("reading %s: %w", filepath.Join(dir, name), err)
	}
	sum := sha256.Sum256(b)
	return Script{SHA256: hex.EncodeToString(sum[:]), Effects: effects(string(b))}, true, nil
}

// signs are what a script's text gives away.
var signs = []struct {
	re   *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`\bpip['"]?\s*,\s*['"]install|\bpip3? install|-m['"]?\s*,\s*['"]pip|\bpip\.main|\buv['"]?\s*,\s*['"]pip`), "installs Python packages with pip"},
	{regexp.MustCompile(`git['"]?\s*,\s*['"](clone|pull|submodule|checkout)|\bgit (clone|pull|submodule)|Repo\.clone_from|import git\b|pygit2`), "runs git"},
	{regexp.MustCompile(`urlretrieve|urlopen|requests\.(get|post)|httpx\.|wget|curl |download_url|hf_hub_download|snapshot_download|torch\.hub|gdown|aria2`), "downloads files"},
	{regexp.MustCompile(`cuda\.is_available|nvidia-smi|torch\.version\.cuda`), "looks for a GPU, which a build does not have"},
	{regexp.MustCompile(`setup\.py|build_ext|\bcmake\b|\bnvcc\b|CUDAExtension|\bmake\b['"]`), "compiles code"},
	{regexp.MustCompile(`apt-get|\bapt install|\bbrew install|\bsudo\b`), "installs system packages"},
	{regexp.MustCompile(`shutil\.(copy|move|rmtree)|os\.(rename|remove|symlink)|\.write\(|\.unlink\(`), "changes files"},
	{regexp.MustCompile(`subprocess|os\.system|os\.popen`), "starts programs"},
}

var address = regexp.MustCompile(`https?://[^\s'"<>)\\]{4,200}`)

// maxAddresses is how many addresses of a script are quoted.
const maxAddresses = 5

func effects(src string) []string {
	list := []string{}
	var code strings.Builder
	for line := range strings.Lines(src) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			code.WriteString(line)
		}
	}
	text := code.String()
	for _, s := range signs {
		if s.re.MatchString(text) {
			list = append(list, s.what)
		}
	}
	urls := []string{}
	for _, u := range address.FindAllString(text, -1) {
		u, _, _ = strings.Cut(u, "?")
		if !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	for i, u := range urls {
		if i == maxAddresses {
			list = append(list, fmt.Sprintf("names %d more addresses", len(urls)-i))
			break
		}
		list = append(list, "names "+u)
	}
	return list
}

var requiresComfy = regexp.MustCompile(`(?m)^\s*requires-comfyui\s*=\s*["']([^"'\n]+)["']`)

// RequiresComfyUI is what pyproject.toml says of ComfyUI's version, such as
// >=0.3.68; empty where it says nothing.
func RequiresComfyUI(dir string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	b, err := root.ReadFile("pyproject.toml")
	if err != nil {
		return ""
	}
	if m := requiresComfy.FindSubmatch(b); m != nil {
		return string(m[1])
	}
	return ""
}

var specifier = regexp.MustCompile(`^\s*(>=|<=|==|!=|~=|>|<)\s*v?([0-9]+(?:\.[0-9]+)*)\s*$`)

// Satisfies reports whether a release of ComfyUI, such as v0.3.64, is one that a
// pack asks for, such as >=0.3.60,<1. What cannot be read counts as satisfied.
func Satisfies(release, wanted string) bool {
	have, ok := numbers(release)
	if !ok {
		return true
	}
	for part := range strings.SplitSeq(wanted, ",") {
		m := specifier.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		want, ok := numbers(m[2])
		if !ok {
			continue
		}
		order := slices.Compare(padded(have, len(want)), padded(want, len(have)))
		good := true
		switch m[1] {
		case ">=":
			good = order >= 0
		case "~=":
			good = order >= 0 && len(want) > 1 && slices.Equal(padded(have, len(want))[:len(want)-1], want[:len(want)-1])
		case "<=":
			good = order <= 0
		case "==":
			good = order == 0
		case "!=":
			good = order != 0
		case ">":
			good = order > 0
		case "<":
			good = order < 0
		}
		if !good {
			return false
		}
	}
	return true
}

func numbers(version string) ([]int, bool) {
	var list []int
	for part := range strings.SplitSeq(strings.TrimPrefix(version, "v"), ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		list = append(list, n)
	}
	return list, true
}

// padded makes 1.2 and 1.2.0 equal.
func padded(list []int, n int) []int {
	out := slices.Clone(list)
	for len(out) < n {
		out = append(out, 0)
	}
	return out
}
