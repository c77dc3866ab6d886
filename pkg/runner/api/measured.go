package api

import (
	"slices"
	"sync"
	"time"

	"github.com/comfyctl/comfyctl/pkg/runner/jobs"
)

// keepMeasured is how many runs of a workflow count.
const keepMeasured = 500

// measured remembers how long the last runs of each workflow took, those
// served from the cache apart.
type measured struct {
	mu  sync.Mutex
	run map[string][]int64 // milliseconds, oldest first
}

func (m *measured) add(j *jobs.Job) {
	if j.Status != jobs.Succeeded || j.Reused {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run == nil {
		m.run = map[string][]int64{}
	}
	list := append(m.run[j.Workflow], j.Timings.RunMS)
	m.run[j.Workflow] = list[max(0, len(list)-keepMeasured):]
}

// mean is how long a job took, over all workflows; 0 where nothing was
// measured.
func (m *measured) mean() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum, n int64
	for _, list := range m.run {
		for _, ms := range list {
			sum, n = sum+ms, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return time.Duration(max(sum/n, 1)) * time.Millisecond
}

// duration is what was measured of a workflow since the start.
type duration struct {
	Runs  int   `json:"runs"`
	P50MS int64 `json:"p50_ms"`
	P99MS int64 `json:"p99_ms"`
}

// of is nil where nothing was measured.
func (m *measured) of(workflow string) *duration {
	m.mu.Lock()
	list := slices.Clone(m.run[workflow])
	m.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return &duration{Runs: len(list), P50MS: list[(len(list)-1)/2], P99MS: list[(len(list)-1)*99/100]}
}
