package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// argument is what a message says about this one finding: the texts in
// backticks or quotes.
var argument = regexp.MustCompile("`[^`]*`|\"[^\"]*\"")

// fingerprints gives each finding a name that survives lines being moved and
// messages being reworded: rule, file, pointer and the message's arguments,
// and which of several equal ones it is.
func fingerprints(f Findings) []string {
	list := make([]string, len(f.List))
	seen := map[string]int{}
	for i := range f.List {
		d := &f.List[i]
		key := fingerprint(f.path(d.File), d)
		seen[key]++
		list[i] = fmt.Sprintf("%s:%d", key, seen[key])
	}
	return list
}

func fingerprint(file string, d *diag.Diagnostic) string {
	parts := append([]string{d.Code, file, d.Pointer, d.Input}, argument.FindAllString(d.Message, -1)...)
	if d.Node != nil {
		parts = append(parts, d.Node.ID)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
