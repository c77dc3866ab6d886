package python

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Package is one file to install.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// File is the wheel's or archive's name, URL where it is.
	File   string `json:"file"`
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size,omitempty"` // bytes
	// Index is set for packages that come from another index than the rest.
	Index string `json:"index,omitempty"`
	// Source is set for an archive that has to be built.
	Source bool `json:"source,omitempty"`
	// Direct is set where an address was asked for, not a version.
	Direct bool `json:"direct,omitempty"`
	// RequestedBy are those who ask for it: comfyui, packs, other packages.
	RequestedBy []string `json:"requested_by,omitempty"`
}

type pylockFile struct {
	URL    string            `toml:"url"`
	Size   int64             `toml:"size"`
	Hashes map[string]string `toml:"hashes"`
}

type pylockPackage struct {
	Name    string       `toml:"name"`
	Version string       `toml:"version"`
	Index   string       `toml:"index"`
	Wheels  []pylockFile `toml:"wheels"`
	Sdist   *pylockFile  `toml:"sdist"`
	Archive *pylockFile  `toml:"archive"`
}

// ParsePylock reads a pylock.toml (PEP 751) that was made for one platform and
// keeps the best file of each package: a wheel for this Python first, then the
// one for the newest C library.
func ParsePylock(b []byte) ([]Package, error) {
	var doc struct {
		Version  string          `toml:"lock-version"`
		Packages []pylockPackage `toml:"packages"`
	}
	if _, err := toml.Decode(string(b), &doc); err != nil {
		return nil, fmt.Errorf("reading pylock.toml: %w", err)
	}
	if !strings.HasPrefix(doc.Version, "1.") {
		return nil, fmt.Errorf("reading pylock.toml: lock-version %q is not known", doc.Version)
	}
	list := []Package{}
	for _, p := range doc.Packages {
		pkg := Package{Name: Normal(p.Name), Version: p.Version}
		f := best(p.Wheels)
		switch {
		case f != nil:
		case p.Archive != nil:
			f, pkg.Direct = p.Archive, true
		case p.Sdist != nil:
			f = p.Sdist
		default:
			return nil, fmt.Errorf("reading pylock.toml: %s has no file", p.Name)
		}
		u, err := url.Parse(f.URL)
		if err != nil || f.Hashes["sha256"] == "" || u.Host == "" {
			return nil, fmt.Errorf("reading pylock.toml: the file of %s has no address or no sha256", p.Name)
		}
		u.User, u.Fragment = nil, ""
		pkg.URL, pkg.SHA256, pkg.Size = u.String(), f.Hashes["sha256"], f.Size
		if pkg.File, err = url.PathUnescape(path.Base(u.EscapedPath())); err != nil {
			pkg.File = path.Base(u.Path)
		}
		pkg.Source = !strings.HasSuffix(pkg.File, ".whl")
		if pkg.Version == "" && !pkg.Source {
			pkg.Version = wheelVersion(pkg.File)
		}
		list = append(list, pkg)
	}
	slices.SortFunc(list, func(a, b Package) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func wheelVersion(file string) string {
	parts := strings.Split(file, "-")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// best picks one wheel, the same one on every run.
func best(wheels []pylockFile) *pylockFile {
	var pick *pylockFile
	var at [4]int
	for i := range wheels {
		r := rank(path.Base(wheels[i].URL))
		if pick == nil || slices.Compare(r[:], at[:]) > 0 {
			pick, at = &wheels[i], r
		}
	}
	return pick
}

var (
	interpreter = regexp.MustCompile(`^cp3([0-9]+)$`)
	glibc       = regexp.MustCompile(`manylinux_2_([0-9]+)_`)
)

// rank orders wheels of one package, all of them fit for the target: compiled
// for this very Python, compiled for any later one, pure; then by C library.
func rank(file string) [4]int {
	parts := strings.Split(strings.TrimSuffix(file, ".whl"), "-")
	if len(parts) < 5 {
		return [4]int{}
	}
	py, abi, platform := parts[len(parts)-3], parts[len(parts)-2], parts[len(parts)-1]
	var r [4]int
	for tag := range strings.SplitSeq(py, ".") {
		if m := interpreter.FindStringSubmatch(tag); m != nil {
			minor, _ := strconv.Atoi(m[1])
			r[1] = max(r[1], minor)
		}
	}
	switch {
	case strings.HasPrefix(abi, "cp3"):
		r[0] = 3
	case abi == "abi3":
		r[0] = 2
	case platform != "any":
		r[0] = 1
	}
	for _, m := range glibc.FindAllStringSubmatch(platform, -1) {
		n, _ := strconv.Atoi(m[1])
		r[2] = max(r[2], n)
	}
	if len(parts) > 5 { // a build number
		r[3], _ = strconv.Atoi(strings.TrimRight(parts[2], "abcdefghijklmnopqrstuvwxyz_"))
	}
	return r
}
