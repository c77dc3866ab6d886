package service

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// whole checks what concerns several keys, or the whole file.
func (d *decoder) whole(root *yaml.Node, s *Service, version string) {
	switch {
	case d.has("/workflow") && d.has("/workflows"):
		d.placed("CY003", "/workflows", true, "both `workflow` and `workflows` are set")
		d.help("keep one of them")
	case s.Workflow.File == "" && len(s.Workflows) == 0 && !d.reported("/workflow"):
		d.add(root, "CY008", "", "the service file names no workflow")
		d.help("add `workflow: workflow_api.json`")
	}
	if s.Scaling.Min != nil && s.Scaling.Max != nil && *s.Scaling.Max < *s.Scaling.Min && d.has("/scaling/max") {
		d.placed("CY007", "/scaling/max", false, "`scaling.max` is %d, `scaling.min` is %d", *s.Scaling.Max, *s.Scaling.Min)
	}
	if s.Requires != "" && !d.reported("/requires") && older(version, s.Requires) {
		d.placed("CY007", "/requires", false, "the file wants comfyctl %s, this is %s", s.Requires, version)
		d.help("install a newer comfyctl")
	}
	paths, cases := make([]string, len(s.Models)), make([]string, len(s.Tests))
	for i, m := range s.Models {
		paths[i] = m.Path
	}
	for i, t := range s.Tests {
		cases[i] = t.Name
	}
	d.unique("/models/%d/path", "the model `%s` is listed twice", paths)
	d.unique("/tests/%d/name", "two tests have the name `%s`", cases)
	for _, p := range s.Env {
		if at := pointer("/env", p.Name); secretName.MatchString(p.Name) && p.Value != "" && !d.reported(at) {
			d.placed("CS001", at, false, "`env.%s` holds a secret's value", p.Name)
			d.label("it would be baked into the image")
			d.help("list " + p.Name + " under `secrets:`; its value then comes from the environment")
		}
	}
}

// placed adds a finding at a pointer that has a place.
func (d *decoder) placed(code, at string, key bool, format string, args ...any) {
	d.add(nil, code, at, format, args...)
	if d.last().Span = d.places[at].value; key {
		d.last().Span = d.places[at].key
	}
}

// reported says whether something at or under a pointer was found already.
func (d *decoder) reported(at string) bool {
	for _, f := range d.found {
		if f.Pointer == at || strings.HasPrefix(f.Pointer, at+"/") {
			return true
		}
	}
	return false
}

// unique finds values of a list that come twice; empty ones do not count.
func (d *decoder) unique(at, message string, values []string) {
	first := map[string]int{}
	for i, v := range values {
		j, again := first[v]
		if !again || v == "" {
			first[v] = i
			continue
		}
		d.placed("CY003", fmt.Sprintf(at, i), false, message, v)
		d.label("the second time")
		d.last().Related = []diag.Related{{Span: d.places[fmt.Sprintf(at, j)].value, Label: "first set here"}}
	}
}

var leadingVersion = regexp.MustCompile(`\d+(\.\d+)*`)

// older reports whether a release is older than a `requires:` asks for. What
// is no release, such as a build without a tag, is not.
func older(version, requires string) bool {
	if !regexp.MustCompile(`^v?\d+\.`).MatchString(version) {
		return false
	}
	have := strings.Split(leadingVersion.FindString(version), ".")
	for i, w := range strings.Split(leadingVersion.FindString(requires), ".") {
		want, _ := strconv.Atoi(w)
		got := 0
		if i < len(have) {
			got, _ = strconv.Atoi(have[i])
		}
		if got != want {
			return got < want
		}
	}
	return false
}

var (
	// secretName are variables whose value nobody should bake into an image.
	secretName = regexp.MustCompile(`(?i)(^|_)(token|secret|password|passwd|api_?key|access_?key)$`)

	// secretValue are the spellings of well-known tokens and keys, passwords in
	// addresses, and signatures in their queries.
	secretValue = regexp.MustCompile(`\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}|\bglpat-[A-Za-z0-9_-]{16,}` +
		`|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bck_[0-9A-Za-z]{40,}|\bwhsec_[A-Za-z0-9+/=]{20,}|\br8_[A-Za-z0-9]{30,}` +
		`|-----BEGIN [A-Z ]*PRIVATE KEY-----|://[^/\s:@]+:[^/\s@]+@|[?&](token|api_?key|access_token|X-Amz-Signature)=[^&\s]{8,}`)
)

// secrets finds values in the file that are somebody's secret. It runs before
// ${VAR} is filled in: what comes from the environment is not in the file.
func (d *document) secrets(n *yaml.Node, seen map[*yaml.Node]bool) {
	if n == nil || seen[n] {
		return
	}
	seen[n] = true
	if n.Kind == yaml.ScalarNode && secretValue.MatchString(n.Value) && !strings.Contains(n.Value, "${") {
		d.add(n, "CS001", "", "this looks like a secret's value")
		d.label("the file is committed and shared")
		d.help("write the name of a secret, or ${VARIABLE}, and take this one out of use")
	}
	for _, c := range n.Content {
		d.secrets(c, seen)
	}
	d.secrets(n.Alias, seen)
}
