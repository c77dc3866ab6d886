package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/lock/python"
)

// editorPackages hold the editor and its help, which the runner never serves.
var editorPackages = map[string]bool{"comfyui-frontend-package": true, "comfyui-workflow-templates": true, "comfyui-embedded-docs": true}

// requirements gathers what everybody asks for. What the service file itself
// asks for replaces what packs ask for under the same name.
func (m *maker) requirements() (list, repos []python.Requirement, err error) {
	drop := map[string]bool{}
	for name := range python.Protected {
		drop[name] = true
	}
	for name := range editorPackages {
		drop[name] = true
	}
	own := python.Given(m.plan.Service.PythonPackages, "service", m.plan.File)
	m.lock.Notes = append(m.lock.Notes, own.Notes...)
	decided := map[string]bool{}
	for _, r := range own.Requirements {
		decided[r.Name] = true
	}
	add := func(dir, from string, drop map[string]bool) error {
		r, err := python.Read(dir, from, drop)
		if err != nil {
			return err
		}
		m.lock.Notes = append(m.lock.Notes, r.Notes...)
		for _, q := range r.Requirements {
			if decided[q.Name] {
				m.lock.Notes = append(m.lock.Notes, Note{From: from, Line: q.Raw, What: "python_packages decides"})
				continue
			}
			list = append(list, q)
		}
		for _, q := range r.Repositories {
			if !decided[q.Name] {
				repos = append(repos, q)
			}
		}
		return nil
	}
	if err := add(m.comfyui, "comfyui", drop); err != nil {
		return nil, nil, err
	}
	for _, p := range m.packs {
		if err := add(p.dir, p.node.Dir, nil); err != nil {
			return nil, nil, err
		}
	}
	return append(list, own.Requirements...), append(repos, own.Repositories...), nil
}

// repositories is the error for requirements without a file.
func repositories(list []python.Requirement) error {
	e := &diag.Error{Code: "python_repository", Class: diag.ClassCheck, Message: "a Python package is asked for straight from a repository, which has no file to pin by hash"}
	yaml := []string{}
	for _, r := range list {
		e.Facts = append(e.Facts, [2]string{r.From, r.Raw + "   (" + r.Place() + ")"})
		line := "  - " + r.Name + " @ https://…"
		if archive := archiveOf(r.Raw); archive != "" {
			line = "  - " + r.Name + " @ " + archive
		}
		if !slices.Contains(yaml, line) {
			yaml = append(yaml, line)
		}
	}
	e.Help = "say where a wheel or an archive of it is, in comfyctl.yaml:\n  python_packages:\n" + strings.Join(yaml, "\n")
	return e
}

// archiveOf is the address of a commit's archive, on the host whose addresses
// are known.
func archiveOf(raw string) string {
	_, rest, ok := strings.Cut(raw, "git+https://github.com/")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(strings.Fields(rest)[0], "#")
	repo, ref, ok := strings.Cut(rest, "@")
	if !ok {
		ref = "COMMIT"
	}
	return "https://github.com/" + strings.TrimSuffix(repo, ".git") + "/archive/" + ref + ".zip"
}

// digest is the SHA-256 of all that a resolution depends on, except for what
// indexes hold today.
func digest(list []python.Requirement, p *Python, platform string) string {
	lines := []string{p.Version, p.Torch, platform}
	for _, r := range list {
		lines = append(lines, r.From+"\t"+r.Line)
	}
	slices.Sort(lines[3:])
	h := sha256.New()
	_, err := io.WriteString(h, strings.Join(slices.Compact(lines), "\n"))
	if err != nil { // a hash takes everything
		panic(fmt.Sprintf("lock: hashing failed: %v", err))
	}
	return hex.EncodeToString(h.Sum(nil))
}
