package runner

import (
	"fmt"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/durable"
	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// disk remembers for a moment how much room is left, so that not every request
// asks the system.
type disk struct {
	mu    sync.Mutex
	asked time.Time
	err   error
}

// askDisk is how old an answer may be.
const askDisk = time.Second

// room refuses new jobs while the state's disk is nearly full. What is left
// then is for the jobs that were taken.
func (s *Server) room() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if time.Since(s.disk.asked) < askDisk {
		return s.disk.err
	}
	s.disk.asked, s.disk.err = time.Now(), nil
	keep := or(s.c.Contract.Runner.KeepFree, defaultKeepFree)
	free, err := durable.Free(s.c.StateDir)
	if err != nil {
		// A system that cannot tell takes jobs.
		s.c.Log.Warn("looking at the disk", "error", err)
		return nil
	}
	if free < keep {
		s.disk.err = fmt.Errorf("%w: %d bytes are left, %d are kept free", jobs.ErrNoRoom, free, keep)
	}
	return s.disk.err
}
