package resolve

import (
	"net/url"
	"regexp"
	"strings"
)

var scpLike = regexp.MustCompile(`^(?:[A-Za-z0-9_.-]+@)?([A-Za-z0-9_.-]+):([^/].*)$`)

// Key makes two spellings of one repository equal: lower case, without scheme,
// user, a closing slash and .git. It is for comparing, never for fetching.
func Key(repo string) string {
	s := strings.TrimSpace(repo)
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		s = u.Host + u.Path
	} else if m := scpLike.FindStringSubmatch(s); m != nil {
		s = m[1] + "/" + m[2]
	}
	s = strings.TrimSuffix(strings.ToLower(s), "/")
	return strings.TrimPrefix(strings.TrimSuffix(s, ".git"), "www.")
}

// Name is the last segment of a repository's address, the folder that a clone
// of it makes.
func Name(repo string) string {
	s := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(repo), "/"), ".git")
	return s[strings.LastIndexAny(s, "/:")+1:]
}

// isCore reports whether a repository is ComfyUI itself, which changed its
// owner.
func isCore(key string) bool {
	return key == "github.com/comfyanonymous/comfyui" || key == "github.com/comfy-org/comfyui"
}

// IsFile reports whether an entry of the map is a single Python file or a gist
// in place of a repository.
func IsFile(repo string) bool {
	k := Key(repo)
	return strings.HasSuffix(k, ".py") || strings.HasPrefix(k, "gist.github.com/")
}
