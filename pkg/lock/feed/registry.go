package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Registry asks the node registry. It never asks for an installation, which the
// registry would count.
type Registry struct {
	*Client
	// Base is the address of the API, without a slash at its end.
	Base string
}

// Node is a pack as the registry knows it.
type Node struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Repository string   `json:"repository"`
	Status     string   `json:"status"`
	Detail     string   `json:"status_detail"`
	Stars      int      `json:"github_stars"`
	Preempts   []string `json:"preempted_comfy_node_names"`
	Latest     *Version `json:"latest_version"`
	Supported  string   `json:"supported_comfyui_version"`
}

// Version is a release of a pack.
type Version struct {
	Version      string   `json:"version"`
	DownloadURL  string   `json:"downloadUrl"`
	Dependencies []string `json:"dependencies"`
	Status       string   `json:"status"`
	Created      string   `json:"createdAt"`
	Supported    string   `json:"supported_comfyui_version"`
}

// Of is the pack that the registry gives for a class; ok is false where it
// knows none.
func (r Registry) Of(ctx context.Context, class string) (Node, bool, error) {
	var n Node
	found, err := r.get(ctx, "/comfy-nodes/"+url.PathEscape(class)+"/node", &n)
	if err != nil || !found || n.ID == "" || n.refused() != "" {
		return Node{}, false, err
	}
	return n, true, nil
}

// Inputs are the names that a class of a release declares; nil where the
// registry does not know them.
func (r Registry) Inputs(ctx context.Context, id, version, class string) ([]string, error) {
	var c struct {
		InputTypes string `json:"input_types"`
	}
	found, err := r.get(ctx, "/nodes/"+url.PathEscape(id)+"/versions/"+url.PathEscape(version)+"/comfy-nodes/"+url.PathEscape(class), &c)
	if err != nil || !found {
		return nil, err
	}
	var groups map[string]map[string]json.RawMessage
	if json.Unmarshal([]byte(c.InputTypes), &groups) != nil {
		return nil, nil //nolint:nilerr // of another shape: nothing is known
	}
	names := []string{}
	for _, g := range groups {
		for name := range g {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Node is a pack by its id.
func (r Registry) Node(ctx context.Context, id string) (Node, error) {
	var n Node
	found, err := r.get(ctx, "/nodes/"+url.PathEscape(id), &n)
	if err != nil {
		return n, err
	}
	if !found {
		return n, &diag.Error{Code: "pack_unknown", Class: diag.ClassCheck, Message: fmt.Sprintf("the node registry has no pack %q", id), Help: "write the id as on its page there, or give the pack's `repo:`"}
	}
	if why := n.refused(); why != "" {
		return n, &diag.Error{Code: "pack_refused", Class: diag.ClassCheck, Message: fmt.Sprintf("the node registry has %s the pack %s", why, id), Help: "use another pack, or its `repo:` when you trust it", Facts: facts(n.Detail)}
	}
	return n, nil
}

// Release is a version of a pack; empty means the latest.
func (r Registry) Release(ctx context.Context, id, version string) (Version, error) {
	n, err := r.Node(ctx, id)
	if err != nil {
		return Version{}, err
	}
	if version == "" || version == "latest" {
		if n.Latest == nil || n.Latest.Version == "" {
			return Version{}, &diag.Error{Code: "pack_unknown", Class: diag.ClassCheck, Message: "the node registry has no release of " + id, Help: "give the pack's `repo:`"}
		}
		version = n.Latest.Version
	}
	var v Version
	found, err := r.get(ctx, "/nodes/"+url.PathEscape(id)+"/versions/"+url.PathEscape(version), &v)
	switch {
	case err != nil:
		return v, err
	case !found:
		return v, &diag.Error{Code: "pack_unknown", Class: diag.ClassCheck, Message: fmt.Sprintf("the node registry has no version %s of %s", version, id), Help: r.versions(n)}
	case strings.HasSuffix(v.Status, "Banned") || strings.HasSuffix(v.Status, "Deleted") || strings.HasSuffix(v.Status, "Flagged"):
		return v, &diag.Error{Code: "pack_refused", Class: diag.ClassCheck, Message: fmt.Sprintf("the node registry has %s version %s of %s", refusal(v.Status), version, id), Help: "take another version"}
	case v.DownloadURL == "":
		return v, &diag.Error{Code: "pack_unknown", Class: diag.ClassCheck, Message: fmt.Sprintf("the node registry has no archive of %s %s", id, version), Help: "give the pack's `repo:`"}
	}
	v.Version = version
	return v, nil
}

func (r Registry) versions(n Node) string {
	if n.Latest != nil && n.Latest.Version != "" {
		return "the latest is " + n.Latest.Version
	}
	return "see its page in the registry"
}

func facts(detail string) [][2]string {
	if detail == "" {
		return nil
	}
	return [][2]string{{"reason", detail}}
}

func (n Node) refused() string {
	if strings.HasSuffix(n.Status, "Banned") || strings.HasSuffix(n.Status, "Deleted") {
		return refusal(n.Status)
	}
	return ""
}

func refusal(status string) string {
	for _, word := range []string{"Banned", "Deleted", "Flagged"} {
		if strings.HasSuffix(status, word) {
			return strings.ToLower(word)
		}
	}
	return status
}

// get reads an answer into v; found is false for 404. A banned pack is 403.
func (r Registry) get(ctx context.Context, path string, v any) (found bool, err error) {
	a, err := r.Get(ctx, r.Base+path)
	if err != nil {
		return false, err
	}
	switch a.Status {
	case http.StatusNotFound:
		return false, nil
	case http.StatusForbidden:
		return false, &diag.Error{Code: "pack_refused", Class: diag.ClassCheck, Message: "the node registry has banned the pack behind " + path, Help: "use another pack, or its `repo:` when you trust it"}
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return false, fmt.Errorf("reading the node registry's answer to %s: %w", path, err)
	}
	return true, nil
}
