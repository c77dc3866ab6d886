package comfy

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// lacks says in one line what the engine does not have that the workflows
// need; empty where it has all. A class that the engine cannot describe counts
// as there.
func (s *Supervisor) lacks(ctx context.Context, sess *session) string {
	var reasons []string
	if failed := sess.failedImports(); len(failed) > 0 {
		reasons = append(reasons, "node packs failed to import: "+strings.Join(failed, ", "))
	}
	var missing []string
	for _, class := range s.o.Classes {
		var info map[string]any
		code, b, err := sess.client.call(ctx, http.MethodGet, "/object_info/"+url.PathEscape(class), nil)
		if err != nil || code != http.StatusOK || decode(b, &info) != nil {
			continue
		}
		if _, ok := info[class]; !ok {
			missing = append(missing, class)
		}
	}
	if len(missing) > 0 {
		// Releases from 0.14 on put other classes in the place of some.
		if code, b, err := sess.client.call(ctx, http.MethodGet, "/node_replacements", nil); err == nil && code == http.StatusOK {
			missing = slices.DeleteFunc(missing, func(class string) bool { return strings.Contains(string(b), `"`+class+`"`) })
		}
	}
	if len(missing) > 0 {
		reasons = append(reasons, "the engine has no node class "+strings.Join(missing, ", "))
	}
	return strings.Join(reasons, "; ")
}

// importFailed is what ComfyUI writes of a pack that it could not import,
// before the pack's folder.
const importFailed = "(IMPORT FAILED):"

// noteImport remembers a pack that the log says was not imported.
func (s *session) noteImport(line string) {
	_, pack, ok := strings.Cut(line, importFailed)
	if !ok {
		return
	}
	pack = strings.TrimSpace(pack)
	if i := strings.LastIndexAny(pack, `/\`); i >= 0 {
		pack = pack[i+1:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unimported = append(s.unimported, pack)
}

func (s *session) failedImports() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unimported)
}
