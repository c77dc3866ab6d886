package resolve

import (
	"slices"
	"strings"
	"unicode"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// maxNear is how many similar names a question shows.
const maxNear = 3

// near finds known classes that somebody who wrote class may have meant.
func (m *Map) near(class string) []string {
	if m == nil {
		return nil
	}
	list := m.bare[bare(class)]
	if len(list) == 0 {
		if best := diag.Suggest(class, sortedKeys(m.byClass)); best != "" {
			list = []string{best}
		}
	}
	return list[:min(len(list), maxNear)]
}

// suffixes are added to class names by packs that wrap those of others.
var suffixes = []string{"|pysssss", "distorch2multigpu", "distorchmultigpu", "multigpu"}

// bare is a name without case, spaces, marks and well-known suffixes.
func bare(class string) string {
	s := strings.ToLower(class)
	for _, suffix := range suffixes {
		s = strings.TrimSuffix(s, suffix)
	}
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for _, r := range s {
			if (unicode.IsLetter(r) || unicode.IsDigit(r)) && !yield(string(r)) {
				return
			}
		}
	}), "")
}
