package validate

import "strings"

// gatedRepos are Hugging Face repositories that ask for an account which
// accepted their terms. A name that ends in * stands for all that begin so.
// The lock knows it of others.
var gatedRepos = []string{
	"black-forest-labs/flux.1-dev", "black-forest-labs/flux.1-fill-dev", "black-forest-labs/flux.1-canny-dev*",
	"black-forest-labs/flux.1-depth-dev*", "black-forest-labs/flux.1-redux-dev", "black-forest-labs/flux.1-kontext-dev*",
	"black-forest-labs/flux.2-dev*", "stabilityai/stable-diffusion-3-medium*", "stabilityai/stable-diffusion-3.5-*",
	"google/gemma-*", "meta-llama/*",
}

// gatedRepo gives the Hugging Face repository of a source, as owner/name, and
// whether it is known to be gated.
func gatedRepo(source string) (repo string, gated bool) {
	rest, ok := strings.CutPrefix(source, "hf://")
	if !ok {
		if rest, ok = strings.CutPrefix(source, "https://huggingface.co/"); !ok {
			return "", false
		}
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 3 {
		return "", false
	}
	repo = strings.ToLower(parts[0] + "/" + parts[1])
	for _, g := range gatedRepos {
		prefix, open := strings.CutSuffix(g, "*")
		if repo == prefix || open && strings.HasPrefix(repo, prefix) {
			return repo, true
		}
	}
	return repo, false
}
