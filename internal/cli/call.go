package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/client"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/term"
)

// CallOptions of `comfyctl call`.
type CallOptions struct {
	Pairs                       []string
	Workflow, JSON, URL, Target string
	Out, Seed, Resume           string
	NoWait                      bool
	Repeat                      int
	Timeout                     time.Duration
}

func newCallCmd(a *App, f runFunc[CallOptions]) *cobra.Command {
	o := &CallOptions{}
	cmd := &cobra.Command{
		Use:        "call [KEY=VALUE | KEY=@FILE | KEY=@- …]",
		Short:      "Send one job, save the outputs",
		Example:    "comfyctl call prompt=\"a red fox in snow\" steps=12 -O fox.png\ncomfyctl call photo=@cat.png --url http://127.0.0.1:8080\ncomfyctl call prompt=fox --no-wait",
		GroupID:    groupTry,
		SuggestFor: []string{"predict", "generate"},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Pairs = args
			return f(cmd.Context(), a, o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return a.inputNames(), cobra.ShellCompDirectiveNoSpace
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&o.Workflow, "workflow", "w", "", "which `WORKFLOW` of the service; NAME or NAME@VERSION")
	fl.StringVar(&o.JSON, "json", "", "inputs as JSON: `@FILE`, @- or the text itself")
	fl.StringVar(&o.URL, "url", "", "`URL` of the service")
	fl.StringVar(&o.Target, "target", "", "call what is deployed on the target `NAME`")
	fl.StringVarP(&o.Out, "out", "O", "", "where outputs go: a folder, a file, or - for stdout (`PATH`)")
	fl.BoolVar(&o.NoWait, "no-wait", false, "print the job's id and return")
	fl.StringVar(&o.Seed, "seed", "", "value `N` of the workflow's seed input")
	fl.IntVar(&o.Repeat, "repeat", 1, "send the job `N` times, one after the other")
	fl.StringVar(&o.Resume, "resume", "", "wait for the job `JOB` that was sent before")
	fl.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long to wait for each job")
	return cmd
}

func (o *CallOptions) validate(a *App) error {
	switch {
	case o.Repeat < 1:
		return usageError("bad_flag", fmt.Sprintf("--repeat is %d", o.Repeat), "it takes a number from 1 on")
	case o.Timeout <= 0:
		return usageError("bad_flag", "--timeout must be above zero", "for example --timeout 5m")
	case o.Resume != "" && (len(o.Pairs) > 0 || o.JSON != "" || o.Seed != "" || o.NoWait || o.Repeat > 1):
		return usageError("bad_flags", "--resume sends nothing, so inputs, --seed, --repeat and --no-wait do not go with it", "")
	case o.Out == "-" && a.machine():
		return usageError("bad_flags", "-O - and -o "+a.flags.Output+" both want stdout", "keep one of them")
	case o.Out == "-" && o.Repeat > 1:
		return usageError("bad_flags", "-O - takes one job, --repeat sends several", "-O DIR saves them all")
	}
	return nil
}

func runCall(ctx context.Context, a *App, o *CallOptions) error {
	if err := o.validate(a); err != nil {
		return err
	}
	at, err := a.serviceURL(ctx, o.URL, o.Target)
	if err != nil {
		return err
	}
	c, err := a.client(at)
	if err != nil {
		return err
	}
	defer c.Close()
	save, err := a.saver(o.Out)
	if err != nil {
		return err
	}
	if o.Resume != "" {
		data, err := a.waitAndSave(ctx, c, o.Resume, o, save)
		a.reply.data = data
		return err
	}
	name, in, err := a.callRequest(ctx, c, o)
	if err != nil {
		return err
	}
	var all []any
	for i := 0; i < o.Repeat; i++ {
		job, err := c.Submit(ctx, name, client.Request{Input: in})
		if err != nil {
			return a.remote(ctx, c, err)
		}
		var data any = job.Raw
		if o.NoWait {
			err = a.print(job.ID)
		} else {
			data, err = a.waitAndSave(ctx, c, job.ID, o, save)
		}
		all = append(all, data)
		a.reply.data = data
		if o.Repeat > 1 {
			a.reply.data = map[string]any{"jobs": all}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// callRequest settles the workflow and its inputs.
func (a *App) callRequest(ctx context.Context, c *client.Client, o *CallOptions) (string, map[string]json.RawMessage, error) {
	w, err := a.chooseWorkflow(ctx, c, o.Workflow)
	if err != nil {
		return "", nil, err
	}
	in := map[string]json.RawMessage{}
	if o.JSON != "" {
		if in, err = a.readInputs(o.JSON); err != nil {
			return "", nil, err
		}
	}
	if err := a.bindPairs(ctx, c, w, o.Pairs, in); err != nil {
		return "", nil, err
	}
	if o.Seed != "" {
		name := ""
		for _, n := range w.Inputs.Order {
			if w.Inputs.Properties[n].Kind == "seed" {
				name = n
				break
			}
		}
		if name == "" {
			return "", nil, usageError("no_seed", "the workflow `"+w.Name+"` has no seed input", "its inputs are "+strings.Join(w.Inputs.Order, ", "))
		}
		if err := a.bindPairs(ctx, c, w, []string{name + "=" + o.Seed}, in); err != nil {
			return "", nil, err
		}
	}
	return w.Name, in, nil
}

// chooseWorkflow asks the service for the workflow to call.
func (a *App) chooseWorkflow(ctx context.Context, c *client.Client, name string) (*client.Workflow, error) {
	if name == "" {
		list, err := c.Workflows(ctx)
		if err != nil {
			return nil, a.remote(ctx, c, err)
		}
		var names []string
		for _, w := range list.Data {
			names = append(names, w.Name)
		}
		switch len(names) {
		case 1:
			name = names[0]
		case 0:
			return nil, failure("no_workflow", c.Base()+" lists no workflow", "is it a comfyctl service?", nil)
		default:
			return nil, usageError("which_workflow", "the service has several workflows", "choose with -w: "+strings.Join(names, ", "))
		}
	}
	w, err := c.Workflow(ctx, name)
	return w, a.remote(ctx, c, err)
}

// waitAndSave follows a job to its end and saves its outputs.
func (a *App) waitAndSave(ctx context.Context, c *client.Client, id string, o *CallOptions, save *saver) (any, error) {
	job, err := a.follow(ctx, c, id, o.Timeout)
	if err != nil {
		return nil, err
	}
	con := a.console()
	if job.Status != client.Succeeded {
		return job.Raw, jobError(job)
	}
	files, err := save.all(ctx, c, job)
	if err != nil {
		return job.Raw, a.remote(ctx, c, err)
	}
	con.Say("  %s %s  %s%s", con.Mark(con.Err, term.OK), con.Err.Paint(term.Bold, "succeeded"), took(job), seedOf(job))
	if job.Engine == "stub" {
		con.Say("  %s stub engine: the outputs are placeholders", con.Mark(con.Err, term.Warn))
	}
	data := map[string]json.RawMessage{}
	if err := json.Unmarshal(job.Raw, &data); err != nil {
		return job.Raw, fmt.Errorf("reading the job: %w", err)
	}
	if data["outputs"], err = json.Marshal(files); err != nil {
		return job.Raw, fmt.Errorf("writing the outputs: %w", err)
	}
	for _, f := range files {
		if f.Path == "" && f.Text != "" && o.Out != "-" {
			err = a.print(f.Text)
		} else if o.Out != "-" {
			err = a.print(f.Path)
		}
		if err != nil {
			return data, err
		}
	}
	return data, nil
}

// follow draws a job's events until it has ended. Ctrl-C cancels the job.
func (a *App) follow(ctx context.Context, c *client.Client, id string, timeout time.Duration) (*client.Job, error) {
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	on, done := a.steps()
	if a.flags.Output == formatNDJSON {
		on = progress.Discard
	}
	job, err := c.Follow(wait, id, func(e client.Event) error {
		a.line(map[string]any{"type": "event", "job": id, "id": e.ID, "event": e.Type, "data": e.Data})
		a.drawEvent(e, on)
		return nil
	})
	done()
	switch {
	case err == nil:
		return job, nil
	case ctx.Err() != nil:
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := c.Cancel(stop, id); err == nil {
			a.console().Alert("canceled %s", id)
		}
		return nil, ctx.Err()
	case wait.Err() != nil:
		return nil, &diag.Error{Code: "timeout", Class: diag.ClassTimeout, Message: fmt.Sprintf("%s has not ended within %s; it goes on", id, timeout),
			Help: "comfyctl call --resume " + id, Details: map[string]any{"job": id}}
	}
	return nil, a.remote(ctx, c, err)
}

func (a *App) drawEvent(e client.Event, on progress.Func) {
	switch e.Type {
	case "status":
		var s struct {
			Status        string `json:"status"`
			QueuePosition int    `json:"queue_position"`
		}
		if json.Unmarshal(e.Data, &s) == nil && s.Status == "queued" {
			text := "waiting"
			if s.QueuePosition > 0 {
				text = fmt.Sprintf("waiting, %d before it", s.QueuePosition)
			}
			on(progress.Event{Step: "job", State: progress.Running, Text: text})
		}
	case "progress":
		var p client.Progress
		if json.Unmarshal(e.Data, &p) != nil {
			return
		}
		ev := progress.Event{Step: "job", State: progress.Running, Done: int64(p.Value * 100), Total: 100, Unit: "%"}
		if n := p.CurrentNode; n != nil {
			ev.Item = n.ID + " " + n.ClassType
			if p.Steps > 0 {
				ev.Item += fmt.Sprintf(" %d/%d", p.Step, p.Steps)
			}
		}
		on(ev)
	case "warning":
		var w struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(e.Data, &w) == nil {
			a.console().Say("  %s %s", a.console().Mark(a.console().Err, term.Warn), diag.Safe(w.Message))
		}
	}
}

// jobError says why a job did not succeed.
func jobError(j *client.Job) error {
	e := &diag.Error{Code: "job_" + j.Status, Class: diag.ClassFailed, Message: j.ID + " " + j.Status, Details: map[string]any{"job": j.ID}}
	if p := j.Error; p != nil {
		e.Code, e.Message, e.Help, e.Retryable = p.Code, p.Message, p.Hint, p.Retryable
		if n := p.Node; n != nil {
			text := n.ID + " " + n.ClassType
			if n.Title != "" && n.Title != n.ClassType {
				text += fmt.Sprintf(" %q", n.Title)
			}
			e.Facts = append(e.Facts, [2]string{"node", text})
		}
		if p.Exception != "" {
			e.Facts = append(e.Facts, [2]string{"exception", p.Exception})
		}
	}
	e.Facts = append(e.Facts, [2]string{"job", j.ID + " " + j.Status})
	return e
}

func took(j *client.Job) string {
	s := func(ms int64) string { return fmt.Sprintf("%.1f", float64(ms)/1000) }
	total := j.Timings.QueueMS + j.Timings.RunMS + j.Timings.UploadMS
	if j.FinishedAt != nil {
		total = j.FinishedAt.Sub(j.CreatedAt).Milliseconds()
	}
	text := fmt.Sprintf("%ss (queue %s, run %s, upload %s)", s(total), s(j.Timings.QueueMS), s(j.Timings.RunMS), s(j.Timings.UploadMS))
	if j.Reused {
		text += "  reused"
	}
	return text
}

// seedOf is the seed that was used, where there was one.
func seedOf(j *client.Job) string {
	if s, ok := j.Input["seed"]; ok {
		return "  seed " + diag.Safe(strings.Trim(string(s), `"`))
	}
	return ""
}
