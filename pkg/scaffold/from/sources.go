package from

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

var (
	hubPath = regexp.MustCompile(`^/([^/]+)/([^/]+)/(?:resolve|blob)/([^/]+)/(.+)$`)
	version = regexp.MustCompile(`^/api/download/models/([0-9]+)$`)
	secret  = regexp.MustCompile(`(?i)^(token|api_?key|access_token|auth|key|password|secret)$`)
)

// source writes an address of a model as a service file does. A credential in
// it is taken out; lost then names its parameter.
func source(address string) (src, lost string) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" {
		return strings.TrimSpace(address), ""
	}
	if u.User != nil {
		u.User, lost = nil, "user"
	}
	q := u.Query()
	for name := range q {
		if secret.MatchString(name) {
			q.Del(name)
			lost = name
		}
	}
	switch host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "www."); host {
	case "huggingface.co", "huggingface.com", "hf.co":
		if m := hubPath.FindStringSubmatch(u.Path); m != nil {
			return hub(m[1]+"/"+m[2], m[4], m[3]), lost
		}
	case "civitai.com", "civitai.red", "civitai.green":
		if m := version.FindStringSubmatch(u.Path); m != nil && len(q) == 0 {
			return "civitai://" + m[1], lost
		}
		if id := q.Get("modelVersionId"); id != "" && strings.HasPrefix(u.Path, "/models/") {
			return "civitai://" + id, lost
		}
	}
	u.RawQuery, u.Fragment = q.Encode(), ""
	return u.String(), lost
}

func hub(repo, file, revision string) string {
	s := "hf://" + repo + "/" + file
	if revision != "" && revision != "main" {
		s += "@" + revision
	}
	return s
}

// address notes a model's source, and what was taken out of it.
func (d *Description) address(m *Model, raw string) {
	if strings.TrimSpace(raw) == "" {
		return
	}
	s, lost := source(raw)
	if lost != "" {
		d.lose("credentials are named, never written: give the model `auth: NAME` and put NAME under `secrets:`", "`%s` in the address of %s", lost, m.Path)
	}
	m.Sources = append(m.Sources, s)
}

var goodRepo = regexp.MustCompile(`^(https?|git|ssh)://[^\s]+$`)

// repository makes a git URL of the ways in which people write one.
func repository(s string) string {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "git@"); ok {
		if host, p, ok := strings.Cut(rest, ":"); ok {
			s = "https://" + host + "/" + p
		}
	}
	if !goodRepo.MatchString(s) {
		return ""
	}
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.User != nil && u.Scheme != "ssh" {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(s, "/"), ".git")
}

// modelPath makes folder/name of a path in somebody's installation. ok is
// false where it does not stay below the models folder.
func modelPath(p string) (string, bool) {
	p = strings.ReplaceAll(strings.TrimSpace(p), `\`, "/")
	if i := strings.LastIndex(p, "/models/"); i >= 0 {
		p = p[i+len("/models/"):]
	}
	p = strings.TrimPrefix(strings.TrimPrefix(p, "./"), "models/")
	if p == "" || strings.ContainsAny(p, "\x00\n\r") || path.IsAbs(p) || strings.Contains(p, ":") || path.Clean(p) != p || strings.HasPrefix(p, "..") || !strings.Contains(p, "/") {
		return "", false
	}
	return p, true
}

var sum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// digest is a SHA-256 in lower case, or "".
func digest(s string) string {
	s = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(s), "sha256:"))
	if !sum.MatchString(s) {
		return ""
	}
	return s
}

var (
	release = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+$`)
	python  = regexp.MustCompile(`^([0-9]+\.[0-9]+)(\.[0-9]+)?`)
	gitRef  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]*$`)
)

// tag is a release of ComfyUI as git knows it.
func tag(s string) string {
	s = strings.TrimSpace(s)
	if release.MatchString(s) {
		return "v" + s
	}
	if !gitRef.MatchString(s) {
		return ""
	}
	return s
}

// minor is the release of Python without its last number.
func minor(s string) string {
	if m := python.FindStringSubmatch(strings.TrimSpace(s)); m != nil {
		return m[1]
	}
	return ""
}
