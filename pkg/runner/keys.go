package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/runner/api"
	"github.com/comfyctl/comfyctl/pkg/runner/webhooks"
)

// loadKeys gathers the API keys: given ones, those in the contract's secrets,
// and those kept in the state folder. Where there is none, one is made and
// shown once, in the log. It returns nil where auth is off.
func loadKeys(c Config) (*api.Keys, error) {
	switch c.Auth {
	case AuthOff, "":
		return nil, nil
	case AuthKey:
	default:
		return nil, fmt.Errorf("reading the auth setting: %q is neither %s nor %s", c.Auth, AuthOff, AuthKey)
	}
	keys := &api.Keys{}
	if err := keys.Add(c.Keys); err != nil {
		return nil, fmt.Errorf("reading the given API keys: %w", err)
	}
	if c.Contract.Auth != nil {
		for _, a := range *c.Contract.Auth {
			if a.Type != "api-key" {
				return nil, &diag.Error{Class: diag.ClassFailed, Message: fmt.Sprintf("auth of type `%s` is not served by this runner", a.Type), Help: "use `type: api-key`"}
			}
			if a.Keys == "" {
				continue
			}
			secret, ok := "", false
			if c.Secrets != nil {
				secret, ok = c.Secrets(a.Keys)
			}
			if !ok {
				return nil, &diag.Error{Class: diag.ClassFailed, Message: fmt.Sprintf("the secret `%s`, which holds the API keys, is not set", a.Keys),
					Help: "pass it to the runner as an environment variable, or as a file named by " + a.Keys + "_FILE"}
			}
			if err := keys.Add(secret); err != nil {
				return nil, fmt.Errorf("reading the API keys in %s: %w", a.Keys, err)
			}
		}
	}
	file := filepath.Join(c.StateDir, "keys")
	kept, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the kept API keys: %w", err)
	}
	if err := keys.Add(string(kept)); err != nil {
		return nil, fmt.Errorf("reading the kept API keys: %w", err)
	}
	if !keys.Empty() {
		return keys, nil
	}
	key, err := keys.Generate("first", "admin")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(keys.Lines()), 0o600); err != nil {
		return nil, fmt.Errorf("keeping the API key: %w", err)
	}
	c.Log.Warn("no API key was given, so one was made; it is shown this once", "key", key)
	return keys, nil
}

// hookSecrets are the secrets that sign webhooks: those of the contract's
// secret, else one that is made once and kept in the state folder.
func hookSecrets(c Config) ([]string, error) {
	if h := c.Contract.Runner.Webhooks; h != nil && h.Secret != "" {
		value, ok := "", false
		if c.Secrets != nil {
			value, ok = c.Secrets(h.Secret)
		}
		if !ok {
			return nil, &diag.Error{Class: diag.ClassFailed, Message: fmt.Sprintf("the secret `%s`, which signs webhooks, is not set", h.Secret),
				Help: "pass it to the runner as an environment variable, or as a file named by " + h.Secret + "_FILE; it is whsec_ and base64"}
		}
		return strings.Fields(value), nil
	}
	file := filepath.Join(c.StateDir, "webhook-secret")
	kept, err := os.ReadFile(file)
	if err == nil {
		return strings.Fields(string(kept)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the kept webhook secret: %w", err)
	}
	secret, err := webhooks.NewSecret()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("keeping the webhook secret: %w", err)
	}
	return []string{secret}, nil
}
