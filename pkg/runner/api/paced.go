package api

import (
	"io"
	"net/http"
	"time"
)

// A body may be slow, but not for ever: it has a while, and then must come at
// this rate at least.
const (
	bodyGrace = 30 * time.Second
	bodyRate  = 1 << 10 // bytes a second
)

// paced bounds how long a body may take by how much of it came.
type paced struct {
	io.ReadCloser
	conn  *http.ResponseController
	grace time.Duration
	began time.Time
	n     int64
}

// pace puts the bound on a request's body.
func pace(w http.ResponseWriter, r *http.Request, grace time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	r.Body = &paced{ReadCloser: r.Body, conn: http.NewResponseController(w), grace: grace, began: time.Now()}
}

func (p *paced) Read(b []byte) (int, error) {
	// A server that cannot set deadlines serves all the same.
	_ = p.conn.SetReadDeadline(p.began.Add(p.grace + time.Duration(p.n)*time.Second/bodyRate))
	n, err := p.ReadCloser.Read(b)
	p.n += int64(n)
	if err != nil {
		// What comes next on the connection has its own time.
		_ = p.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (p *paced) Close() error {
	err := p.ReadCloser.Close()
	_ = p.conn.SetReadDeadline(time.Time{})
	return err
}
