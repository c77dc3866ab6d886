package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/diag"
)

// defaultURL is where `run` serves unless told otherwise.
const defaultURL = "http://127.0.0.1:8080"

// serviceURL finds the service to call: --url, --target, what `run` started
// beside the service file, else run's default address.
func (a *App) serviceURL(ctx context.Context, given, target string) (string, error) {
	switch {
	case given != "" && target != "":
		return "", usageError("bad_flags", "--url and --target exclude each other", "keep one of them")
	case given != "":
		if !strings.Contains(given, "://") {
			given = "http://" + given
		}
		return given, nil
	case target != "":
		return a.targetURL(ctx, target)
	}
	state, err := a.state()
	if err != nil {
		return "", err
	}
	if r, ok := readRunning(state); ok {
		return r.URL, nil
	}
	return defaultURL, nil
}

// client makes a client of a service; the key comes from COMFYCTL_KEY or the
// file that COMFYCTL_KEY_FILE names.
func (a *App) client(at string) (*client.Client, error) {
	key := a.env["COMFYCTL_KEY"]
	if name := a.env["COMFYCTL_KEY_FILE"]; key == "" && name != "" {
		path, err := a.path(name)
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, &diag.Error{Code: "no_key_file", Class: diag.ClassAuth, Message: "the API key cannot be read from $COMFYCTL_KEY_FILE", Err: err}
		}
		key = strings.TrimSpace(string(b))
	}
	o := client.Options{Key: key, UserAgent: "comfyctl/" + version}
	if a.flags.Verbose >= 2 {
		o.Trace = func(method, path string, status int, took time.Duration) {
			a.console().Say("http: %s %s %d %s", method, diag.Safe(path), status, took.Round(time.Millisecond))
		}
	}
	c, err := client.New(at, o)
	if err != nil {
		return nil, usageError("bad_url", fmt.Sprintf("%q is no address of a service", at), "--url takes http://HOST:PORT")
	}
	return c, nil
}

// remote turns an error of the API into one for people.
func (a *App) remote(ctx context.Context, c *client.Client, err error) error {
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	var p *client.Problem
	if errors.As(err, &p) {
		return a.refused(c, p)
	}
	var op *net.OpError
	var dns *net.DNSError
	var u *url.Error
	switch {
	case errors.As(err, &dns):
		return &diag.Error{Code: "unknown_host", Class: diag.ClassFailed, Message: "the host " + dns.Name + " is not known", Help: "check --url", Err: nil, Retryable: true}
	case errors.As(err, &op) && op.Op == "dial":
		return &diag.Error{Code: "no_service", Class: diag.ClassFailed, Message: "no service answers at " + c.Base(),
			Help: "`comfyctl run --stub` starts one here; --url names another", Retryable: true}
	case errors.As(err, &u):
		return &diag.Error{Code: "connection_lost", Class: diag.ClassFailed, Message: "the connection to " + c.Base() + " failed", Err: u.Err, Retryable: true}
	}
	return err
}

// refused turns a problem document into an error: class by status, the fields
// as facts.
func (a *App) refused(c *client.Client, p *client.Problem) *diag.Error {
	e := &diag.Error{Code: p.Code, Class: diag.ClassFailed, Message: p.Message, Help: p.Hint, Retryable: p.Retryable,
		Details: map[string]any{"status": p.Status, "request_id": p.RequestID}}
	switch p.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Class = diag.ClassAuth
		if p.Status == http.StatusUnauthorized {
			e.Help = "set COMFYCTL_KEY or COMFYCTL_KEY_FILE"
		}
	case http.StatusNotFound:
		e.Class = diag.ClassUsage
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		e.Class = diag.ClassCheck
	}
	if len(p.Errors) > 0 {
		e.Details["errors"] = p.Errors
		first := p.Errors[0]
		e.Message = first.Message
		if p.Status == http.StatusUnprocessableEntity {
			e.Code = "input_" + first.Code
		}
		if first.Suggestion != "" {
			e.Help = fmt.Sprintf("did you mean %q?", first.Suggestion)
		}
		for _, f := range p.Errors[1:] {
			e.Facts = append(e.Facts, [2]string{"also", f.Message})
		}
		if at := a.declared(first.Pointer); at != "" {
			e.Facts = append(e.Facts, [2]string{"declared", at})
		}
	}
	e.Facts = append(e.Facts, [2]string{"sent to", c.Base()})
	return e
}
