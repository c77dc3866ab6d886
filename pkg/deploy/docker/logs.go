package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// Logs implements deploy.Target.
func (t *Target) Logs(ctx context.Context, o deploy.LogOptions, w io.Writer) error {
	id, err := t.logged(ctx, o.Release)
	if err != nil {
		return err
	}
	lo := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow}
	if o.Tail >= 0 {
		lo.Tail = strconv.Itoa(o.Tail)
	}
	if o.Since > 0 {
		lo.Since = time.Now().Add(-o.Since).Format(time.RFC3339Nano)
	}
	r, err := t.Engine.ContainerLogs(ctx, id, lo)
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	defer r.Close()
	if _, err = stdcopy.StdCopy(w, w, r); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	return nil
}

// logged is the container whose log is meant: that of a release, else of the
// one that serves, else of the newest.
func (t *Target) logged(ctx context.Context, release string) (string, error) {
	list, err := t.list(ctx)
	if err != nil {
		return "", err
	}
	var known []string
	for _, c := range list {
		if r := c.Labels[labelRelease]; release == "" || r == release {
			return c.ID, nil
		}
		known = append(known, c.Labels[labelRelease])
	}
	if len(known) > 0 {
		return "", &diag.Error{Code: "no_release", Class: diag.ClassFailed, Message: fmt.Sprintf("target %s has no release %s", t.Name, release), Help: "it has " + strings.Join(known, ", ")}
	}
	return "", &diag.Error{Code: "not_deployed", Class: diag.ClassFailed, Message: fmt.Sprintf("nothing of %s runs on target %s", t.Service, t.Name), Help: "`comfyctl deploy " + t.Name + "` starts it"}
}

// plain turns the runner's JSON records into their messages; other lines stay
// as they are.
func plain(log string) string {
	lines := strings.Split(log, "\n")
	for i, line := range lines {
		var r struct{ Msg, Reason, Error string }
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg != "" {
			lines[i] = r.Msg
			for _, more := range []string{r.Reason, r.Error} {
				if more != "" {
					lines[i] += ": " + more
				}
			}
		}
	}
	return strings.Join(lines, "\n")
}
