package jobs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/comfyctl/comfyctl/pkg/runner/engine"
	"github.com/comfyctl/comfyctl/pkg/runner/problem"
	"github.com/comfyctl/comfyctl/pkg/runner/prompt"
)

// attempt hands the files and the prompt to the engine once, or takes up an
// attempt that an earlier life of the runner made.
func (q *Queue) attempt(ctx context.Context, a *active) (*engine.Result, error) {
	graph, err := q.graph(ctx, a)
	if err != nil {
		return nil, err
	}
	body, err := graph.Encode()
	if err != nil {
		return nil, err
	}
	r := q.snap(a)
	w := &r.Work
	p := engine.Prompt{ID: r.Run.PromptID, Graph: body, Preview: true, Stall: q.stall(w), Sent: a.resume}
	res, err := q.c.Executor.Run(ctx, p, func(e engine.Event) { q.event(a, graph, e) })
	if err == nil && res.Reused {
		// A node of a class that we do not know may compute while it saves.
		for _, id := range w.Foreign {
			res.Reused = res.Reused && slices.Contains(res.Cached, id)
		}
	}
	return res, err
}

func (q *Queue) stall(w *Work) time.Duration {
	if w.StallMS > 0 {
		return time.Duration(w.StallMS) * time.Millisecond
	}
	return q.c.Stall
}

// graph is what the engine gets: the job's own, with its files, and with
// output folders of the attempt.
func (q *Queue) graph(ctx context.Context, a *active) (prompt.Graph, error) {
	r := q.snap(a)
	w := &r.Work
	graph, err := prompt.Decode(w.Graph)
	if err != nil {
		return nil, err
	}
	for _, f := range w.Files {
		if a.resume {
			break // the engine has them
		}
		name, err := q.c.Inputs.Put(ctx, q.c.Executor, f)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(name)
		if err != nil {
			return nil, fmt.Errorf("naming an input file: %w", err)
		}
		for _, to := range f.To {
			if err := graph.Set(to[0], to[1], value); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range w.Policy.Fallbacks[:min(r.Run.Fallback, len(w.Policy.Fallbacks))] {
		for _, s := range f.Set {
			if err := graph.Set(s.Node, s.Input, s.Value); err != nil {
				return nil, err
			}
		}
	}
	graph.Separate(a.id+"/"+strconv.Itoa(r.Job.Attempts), func(id string, _ *prompt.Node) bool {
		return slices.Contains(w.OutputNodes, id)
	})
	if faults := graph.Check(); len(faults) > 0 {
		return nil, invalidGraph(faults)
	}
	return graph, nil
}

func invalidGraph(faults []prompt.Fault) *problem.Problem {
	p := problem.New("workflow_invalid", faults[0].Error())
	for _, f := range faults {
		p.Errors = append(p.Errors, problem.Field{Pointer: "/" + f.Node + "/inputs/" + f.Input, Code: "bad_graph", Message: f.Error()})
	}
	return p
}

// Rehearse runs a job that nobody asked for and nothing keeps.
func (q *Queue) Rehearse(ctx context.Context, r *Record) error {
	a := newActive(r)
	r.Run.PromptID = uuid.NewString()
	_, err := q.attempt(ctx, a)
	clean, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return errors.Join(err, q.c.Executor.Forget(clean, r.Run.PromptID))
}

// event turns what the engine says into progress and messages.
func (q *Queue) event(a *active, graph prompt.Graph, e engine.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := &a.rec.Job.Progress
	p.NodesTotal = max(p.NodesTotal, len(graph))
	switch e.Kind {
	case engine.EventCached:
		p.NodesDone = len(e.Nodes)
	case engine.EventNode:
		if p.CurrentNode != nil {
			p.NodesDone = min(p.NodesDone+1, p.NodesTotal)
		}
		p.CurrentNode, p.Step, p.Steps = &Node{ID: e.Node}, 0, 0
		if n := graph[e.Node]; n != nil {
			p.CurrentNode.ClassType, p.CurrentNode.Title = n.ClassType, n.Meta.Title
		}
	case engine.EventProgress:
		p.Step, p.Steps = int(e.Value), int(e.Max)
	case engine.EventPreview:
		a.stream.add("preview", map[string]any{"node_id": e.Node, "content_type": e.ContentType, "data": base64.StdEncoding.EncodeToString(e.Data)})
		return
	case engine.EventLog:
		a.rec.Run.note(e.Text)
		a.stream.add("log", map[string]any{"text": e.Text})
		return
	default:
		return
	}
	part := 0.0
	if p.Steps > 0 {
		part = float64(p.Step) / float64(p.Steps)
	}
	if p.NodesTotal > 0 {
		p.Value = min(0.99, max(p.Value, (float64(p.NodesDone)+part)/float64(p.NodesTotal)))
	}
	a.stream.add("progress", p)
	if now := time.Now(); now.Sub(a.stored) >= storeProgress && a.cancel != nil {
		a.stored = now
		if err := q.c.Store.Advance(context.Background(), a.id, *p); err != nil {
			q.c.Log.Warn("storing progress", "job", a.id, "error", err)
		}
	}
}

// storeProgress is how often a running job's progress is stored.
const storeProgress = time.Second
