package validate

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

var (
	windowsPath = regexp.MustCompile(`^(?:[A-Za-z]:[\\/]|\\\\[^\\/\s]+[\\/]|//[A-Za-z0-9._-]+/[^/]|%[A-Za-z_]+%[\\/])`)
	homePath    = regexp.MustCompile(`^(?:~(?:[A-Za-z][A-Za-z0-9._-]*)?|\$HOME|\$\{HOME\}|\$env:[A-Za-z]+)[\\/]`)
	posixPath   = regexp.MustCompile(`^/[A-Za-z0-9._@-][^/\n]*/`)
)

// machinePath says in a few words why a text is a path of one machine, or "".
func machinePath(s string) string {
	switch {
	case len(s) > 1024 || strings.ContainsAny(s, "\n\t"):
		return ""
	case strings.HasPrefix(s, "file:"):
		return "a path of the machine that it was written on"
	case windowsPath.MatchString(s):
		if strings.HasPrefix(s, `\\`) || strings.HasPrefix(s, "//") {
			return "a folder of one network"
		}
		return "a drive of one machine"
	case homePath.MatchString(s):
		return "somebody's home folder"
	case posixPath.MatchString(s):
		return "an absolute path of one machine"
	}
	return ""
}

// localNames are ends of host names that no public resolver knows.
var localNames = []string{".local", ".lan", ".internal", ".intranet", ".home", ".corp", ".home.arpa", ".localhost", ".localdomain", ".test"}

// privateHost gives the host of an address that only one network can reach, or "".
func privateHost(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || strings.ContainsAny(s, " \n\t") || len(s) > 2048 {
		return ""
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ws", "wss", "ftp", "ftps", "sftp", "ssh", "git", "rtsp", "rtmp", "redis", "smb", "oci":
	default:
		return ""
	}
	u, err := url.Parse("http://" + rest)
	if err != nil {
		return ""
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		if private(addr) {
			return host
		}
		return ""
	}
	if host != "" && !strings.Contains(host, ".") && !strings.Contains(host, "$") {
		return host // localhost, a container or a machine of the network
	}
	for _, end := range localNames {
		if strings.HasSuffix(host, end) {
			return host
		}
	}
	return ""
}

// here reports a constant of a node that means something on one machine or in
// one network only. Values that every job writes are none, and neither is what
// names a model or an upload, which has findings of its own.
func (c *checker) here(n *workflow.Node, in *workflow.Input, s *catalog.InputSpec) {
	if in.Kind != workflow.String || s != nil && (s.Folder != "" || s.File != "" || s.Type == "COMBO") {
		return
	}
	if c.o.Written != nil && c.o.Written(n.ID, in.Name) {
		return
	}
	d := diag.Diagnostic{Severity: diag.SeverityWarning, Span: in.ValueSpan, Pointer: in.Pointer, Input: in.Name}
	if why := machinePath(in.Text); why != "" {
		d.Code, d.Message, d.Label = "CW113", "`"+in.Name+"` of node `"+n.ID+"` is a path of one machine", why
		d.Help = "make it an input of the service, or use a name relative to ComfyUI's folders"
	} else if host := privateHost(in.Text); host != "" {
		d.Code, d.Message, d.Label = "CW114", "`"+in.Name+"` of node `"+n.ID+"` is an address that only one network can reach", "`"+host+"` is not a public host"
		d.Help = "name a host that the deployed service can reach, or make it an input of the service"
	} else {
		return
	}
	c.add(n, d)
}

// paths checks the files and addresses that the service file names.
func (l *loader) paths() {
	s := l.plan.Service
	for _, r := range l.refs() {
		l.inside(r.at+"/file", r.w.File)
	}
	l.inside("/build/ca", s.Build.CA)
	l.inside("/runner/hooks/pre/run", s.Runner.Hooks.Pre.Run)
	l.inside("/runner/hooks/post/run", s.Runner.Hooks.Post.Run)
	l.reachable("/comfyui/source", s.ComfyUI.Source)
	for i, n := range s.Nodes {
		l.inside("/nodes/"+itoa(i)+"/path", n.Path)
		l.reachable("/nodes/"+itoa(i)+"/repo", n.Repo)
	}
	for i, m := range s.Models {
		for j, source := range m.Source {
			at := "/models/" + itoa(i) + "/source"
			if s.Has(at + "/" + itoa(j)) {
				at += "/" + itoa(j)
			}
			l.reachable(at, source)
		}
	}
	if s.Auth != nil {
		for i, a := range s.Auth.List {
			if isLocal(a.JWKS) {
				l.inside("/auth/"+itoa(i)+"/jwks", a.JWKS)
			}
		}
	}
	for i, t := range s.Tests {
		for _, o := range t.Expect.Outputs {
			l.inside("/tests/"+itoa(i)+"/expect/outputs/"+escape(o.Name)+"/like", o.Like)
		}
	}
}

// reachable checks a source: an address, or a file of the project.
func (l *loader) reachable(at, source string) {
	if host := privateHost(source); host != "" {
		l.at(at, diag.Diagnostic{Code: "CY112", Severity: diag.SeverityWarning, Message: "`" + host + "` can be reached from one network only",
			Label: "not a public host", Help: "name a host that everyone who builds can reach"})
		return
	}
	if isLocal(source) || strings.HasPrefix(source, "file:") {
		l.inside(at, source)
	}
}

// inside checks that a file of the service file lies in the project. One that
// is missing has a finding of its own.
func (l *loader) inside(at, name string) {
	if name == "" {
		return
	}
	why := machinePath(filepath.ToSlash(name))
	if why == "" {
		why = machinePath(name)
	}
	if why == "" && escapes(l.root(), l.beside(name)) {
		why = "outside of the project's folder"
	}
	if why == "" || l.reportedAt(at) {
		return
	}
	l.at(at, diag.Diagnostic{Code: "CY111", Severity: diag.SeverityWarning, Message: "`" + name + "` lies outside of the project",
		Label: why, Help: "put the file beside the service file, or name an address that others can fetch it from"})
}

// reportedAt says whether something was found at a place of the service file.
func (l *loader) reportedAt(at string) bool {
	span := l.plan.Service.At(at)
	for _, d := range l.list {
		if d.Span == span && d.Severity == diag.SeverityError {
			return true
		}
	}
	return false
}

// root is the folder of the project: that of the git repository which holds
// the service file, else the service file's own.
func (l *loader) root() string {
	start, err := filepath.Abs(l.plan.Dir)
	if err != nil {
		return l.plan.Dir
	}
	for dir := start; ; {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return start
		}
		dir = parent
	}
}

func escapes(root, name string) bool {
	abs, err := filepath.Abs(name)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(root, abs)
	return err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
