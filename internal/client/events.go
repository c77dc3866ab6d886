package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// reconnects is how often in a row a stream may break without any event.
const reconnects = 5

// maxEvent bounds one line of a stream; previews are the longest.
const maxEvent = 64 << 20

// Follow reports a job's events in order and returns the job when it has
// ended. A broken stream is taken up where it broke. When fn fails, its error
// is returned.
func (c *Client) Follow(ctx context.Context, id string, fn func(Event) error) (*Job, error) {
	var last int64
	for broken := 0; ; {
		before := last
		job, err := c.stream(ctx, id, &last, fn)
		if job != nil || ctx.Err() != nil {
			return job, errors.Join(ctx.Err(), err)
		}
		var stop stopError
		if errors.As(err, &stop) {
			return nil, stop.error
		}
		var p *Problem
		if errors.As(err, &p) && p.Status < 500 {
			return nil, err
		}
		if last > before {
			broken = 0
		}
		if broken++; broken > reconnects {
			return nil, fmt.Errorf("following the job: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(broken) * 200 * time.Millisecond):
		}
	}
}

// stopError is an error of the caller's function.
type stopError struct{ error }

var errEnded = errors.New("the event stream ended before the job did")

// stream reads one connection's events. It returns the job at its end.
func (c *Client) stream(ctx context.Context, id string, last *int64, fn func(Event) error) (*Job, error) {
	h := http.Header{"Accept": {"text/event-stream"}}
	if *last > 0 {
		h.Set("Last-Event-ID", strconv.FormatInt(*last, 10))
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id)+"/events", nil, h)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var job *Job
	err = readEvents(resp.Body, func(e Event) error {
		if e.ID > 0 && e.ID <= *last {
			return nil
		}
		*last = max(*last, e.ID)
		if err := fn(e); err != nil {
			return stopError{err}
		}
		if e.Type != "done" {
			return nil
		}
		var err error
		if job, err = DecodeJob(e.Data); err != nil {
			return stopError{err}
		}
		return io.EOF
	})
	switch {
	case job != nil:
		return job, nil
	case err == nil, errors.Is(err, io.EOF):
		return nil, errEnded
	}
	return nil, err
}

// readEvents parses a stream of server-sent events until fn fails.
func readEvents(r io.Reader, fn func(Event) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxEvent)
	var e Event
	var data []string
	for sc.Scan() {
		line := strings.TrimSuffix(sc.Text(), "\r")
		if line == "" {
			if len(data) > 0 || e.Type != "" {
				e.Data = []byte(strings.Join(data, "\n"))
				if err := fn(e); err != nil {
					return err
				}
			}
			e, data = Event{}, nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			// Ids of this API are numbers; others cannot be resumed at.
			e.ID, _ = strconv.ParseInt(value, 10, 64)
		case "event":
			e.Type = value
		case "data":
			data = append(data, value)
		}
	}
	return sc.Err()
}
