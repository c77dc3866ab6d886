package dockerengine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/pkg/stdcopy"
)

// LogOptions choose what of a log is read.
type LogOptions struct {
	Follow     bool
	Tail       int // last lines only; 0 means all
	Since      time.Time
	Timestamps bool
}

// Logs gives stdout and stderr of a container as one stream; Docker keeps the
// order within each of them only. Close it to stop following.
func (e *Engine) Logs(ctx context.Context, id string, o LogOptions) (io.ReadCloser, error) {
	lo := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow, Timestamps: o.Timestamps}
	if o.Tail > 0 {
		lo.Tail = fmt.Sprint(o.Tail)
	}
	if !o.Since.IsZero() {
		lo.Since = o.Since.Format(time.RFC3339Nano)
	}
	body, err := e.api.ContainerLogs(ctx, id, lo)
	if err != nil {
		return nil, fmt.Errorf("reading the log of container %s: %w", short(id), err)
	}
	return demux(body), nil
}

// demux takes the frames around stdout and stderr away.
func demux(body io.ReadCloser) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, w, body)
		_ = w.CloseWithError(err)
	}()
	return &stream{PipeReader: r, body: body}
}

type stream struct {
	*io.PipeReader
	body io.Closer
}

// Close ends the copying goroutine from both sides.
func (s *stream) Close() error {
	_ = s.PipeReader.Close()
	return s.body.Close()
}

// Exec runs a command in a running container and returns its exit code and
// what it wrote; at most 1 MiB of each stream is kept.
func (e *Engine) Exec(ctx context.Context, id string, cmd []string, env ...string) (code int, stdout, stderr []byte, err error) {
	x, err := e.api.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: cmd, Env: env, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, nil, nil, fmt.Errorf("running %s in container %s: %w", cmd[0], short(id), err)
	}
	conn, err := e.api.ContainerExecAttach(ctx, x.ID, container.ExecAttachOptions{})
	if err != nil {
		return 0, nil, nil, fmt.Errorf("running %s in container %s: %w", cmd[0], short(id), err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	var o, r bytes.Buffer
	if _, err := stdcopy.StdCopy(&capped{&o}, &capped{&r}, conn.Reader); err != nil {
		return 0, nil, nil, fmt.Errorf("reading what %s wrote: %w", cmd[0], err)
	}
	st, err := e.api.ContainerExecInspect(ctx, x.ID)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("asking how %s ended: %w", cmd[0], err)
	}
	return st.ExitCode, o.Bytes(), r.Bytes(), nil
}

// capped keeps the first MiB and swallows the rest.
type capped struct{ b *bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if room := 1<<20 - c.b.Len(); room > 0 {
		c.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// Event is something that happened to a container.
type Event struct {
	ID     string
	Action string // start, die, oom, stop, kill, destroy, "health_status: healthy" …
	Labels map[string]string
	Time   time.Time
}

// Events follows what happens to containers that carry the labels, until ctx
// is over. At the end the error channel gives one error, then the events are
// closed.
func (e *Engine) Events(ctx context.Context, labels map[string]string) (<-chan Event, <-chan error) {
	f := labelFilter(labels)
	f.Add("type", string(events.ContainerEventType))
	in, errs := e.api.Events(ctx, events.ListOptions{Filters: f})
	out, failed := make(chan Event), make(chan error, 1)
	go func() {
		defer close(out)
		for {
			select {
			case m := <-in:
				ev := Event{ID: m.Actor.ID, Action: string(m.Action), Labels: m.Actor.Attributes, Time: time.Unix(0, m.TimeNano)}
				select {
				case out <- ev:
				case <-ctx.Done():
					failed <- ctx.Err()
					return
				}
			case err := <-errs:
				failed <- doing("following events", err)
				return
			}
		}
	}()
	return out, failed
}
