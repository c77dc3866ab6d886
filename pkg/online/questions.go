package online

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/pkg/catalog"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// comfyUI is where ComfyUI comes from unless the file says otherwise.
const comfyUI = "https://github.com/comfyanonymous/ComfyUI"

// questions lists what to ask: about each model, each node pack of a
// repository, and ComfyUI itself where its release is not a known one.
func (c *checker) questions() []question {
	s := c.plan.Service
	var list []question
	if s.ComfyUI.Version != "" && (isRepo(s.ComfyUI.Source) || s.ComfyUI.Source == "" && !known(s.ComfyUI.Version)) {
		repo, at := s.ComfyUI.Source, "/comfyui/source"
		if repo == "" {
			repo, at = comfyUI, "/comfyui"
		}
		list = append(list, question{"ComfyUI", func(ctx context.Context) []diag.Diagnostic {
			return c.repo(ctx, repo, s.ComfyUI.Version, at, "/comfyui/version")
		}})
	}
	for i, m := range s.Models {
		if slices.ContainsFunc(m.Source, remote) {
			list = append(list, question{m.Path, func(ctx context.Context) []diag.Diagnostic { return c.model(ctx, i, m) }})
		}
	}
	for i, n := range s.Nodes {
		at := "/nodes/" + strconv.Itoa(i)
		if isRepo(n.Repo) {
			list = append(list, question{fetch.Redact(n.Repo), func(ctx context.Context) []diag.Diagnostic {
				return c.repo(ctx, n.Repo, n.Ref, at+"/repo", at+"/ref")
			}})
		}
	}
	return list
}

func known(version string) bool {
	return slices.Contains(catalog.Versions(), "v"+strings.TrimPrefix(version, "v"))
}

func isRepo(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// secrets finds names whose value is not set.
func (c *checker) secrets() []diag.Diagnostic {
	s := c.plan.Service
	var list []diag.Diagnostic
	seen := map[string]bool{}
	ask := func(name, at, why string) {
		if name == "" || seen[name] {
			return
		}
		seen[name] = true
		if v, ok := c.o.Secret(name); ok && strings.TrimSpace(v) != "" {
			return
		}
		d := c.at(at, "CO005", "the secret `"+name+"` is not set")
		d.Label, d.Help = why, "export "+name+", or set "+name+"_FILE to a file that holds it"
		list = append(list, d)
	}
	for i, name := range s.Secrets {
		ask(name, "/secrets/"+strconv.Itoa(i), "neither "+name+" nor "+name+"_FILE is in the environment")
	}
	for i, name := range s.Build.Secrets {
		ask(name, "/build/secrets/"+strconv.Itoa(i), "the build asks for it")
	}
	for i, m := range s.Models {
		ask(m.Auth, fmt.Sprintf("/models/%d/auth", i), "fetching the model asks for it")
	}
	ask(s.Runner.Webhooks.Secret, "/runner/webhooks/secret", "webhooks are signed with it")
	if s.Auth != nil {
		for i, a := range s.Auth.List {
			ask(a.Keys, fmt.Sprintf("/auth/%d/keys", i), "the API's keys are in it")
		}
	}
	return list
}

// model asks the sources of a model in turn. While one of them gives the file,
// what is wrong with the others is a warning: `pack` goes on to the next.
func (c *checker) model(ctx context.Context, i int, m service.Model) []diag.Diagnostic {
	var list []diag.Diagnostic
	good := false
	for j, source := range m.Source {
		if !remote(source) {
			good = true // a file of this machine, which is checked elsewhere
			continue
		}
		at := fmt.Sprintf("/models/%d/source/%d", i, j)
		if !c.plan.Service.Has(at) {
			at = fmt.Sprintf("/models/%d/source", i)
		}
		if ctx.Err() != nil && len(list) > 0 {
			break // one cause is told once
		}
		found := c.source(ctx, at, source, m)
		good = good || !diag.HasErrors(found)
		list = append(list, found...)
	}
	if good {
		for k := range list {
			if list[k].Severity == diag.SeverityError {
				list[k].Severity = diag.SeverityWarning
			}
		}
	}
	return list
}
