package validate

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the file says of a rule holds before what a pipeline makes of it, and
// --strict comes last.
func TestLevels(t *testing.T) {
	const wide = "name: portrait\nworkflow: w.json\ncomfyui: v0.3.64\n" + model + "inputs: { steps: { to: 3.steps, max: 20000 } }"
	for _, tc := range []struct {
		name, more string
		o          Options
		want       []string
	}{
		{"plain", "", Options{}, []string{"CY106 warning"}},
		{"off", "checks: { CY106: off }\n", Options{Strict: true}, nil},
		{"a note", "checks: { CY106: note }\n", Options{Strict: true}, []string{"CY106 note"}},
		{"an error", "checks: { CY106: error }\n", Options{}, []string{"CY106 error"}},
		{"strict", "", Options{Strict: true}, []string{"CY106 error"}},
		{"in a pipeline", "", Options{CI: true, Lock: &Locked{Missing: true}}, []string{"CL001 error", "CY106 warning"}},
		{"not in a pipeline", "", Options{Lock: &Locked{Missing: true}}, []string{"CL001 warning", "CY106 warning"}},
		{"the file before the pipeline", "checks: { CL001: warning }\n", Options{CI: true, Lock: &Locked{Missing: true}}, []string{"CL001 warning", "CY106 warning"}},
		{"ignored", " # comfyctl: ignore CY106 - meant\n", Options{}, nil},
		{"ignored with others", " # comfyctl: ignore CY104, CY106\n", Options{}, []string{"CY012 warning"}},
		{"ignored and off", " # comfyctl: ignore CY106\nchecks: { CY106: off }\n", Options{}, nil},
		{"a stale ignore, off", " # comfyctl: ignore CY106, CY104\nchecks: { CY012: off }\n", Options{}, nil},
		{"a stale ignore, strict", " # comfyctl: ignore CY106, CY104\n", Options{Strict: true}, []string{"CY012 error"}},
		{"a misspelt ignore", " # comfyctl: ignore CY16\n", Options{}, []string{"CY106 warning", "CY012 warning"}},
		{"no rule", "checks: { CY999: off, CY107x: off }\n", Options{}, []string{"CY106 warning", "CY007 error", "CY007 error"}},
		{"no level", "checks: { CY106: loud }\n", Options{}, []string{"CY106 warning", "CY007 error"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			more := tc.more
			if more == "" || more[0] != ' ' {
				more = "\n" + more
			}
			_, list := load(t, tc.o, map[string]string{"comfyctl.yaml": wide + more, "w.json": portrait})
			var got []string
			for _, d := range list {
				got = append(got, fmt.Sprintf("%s %s", d.Code, d.Severity))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
