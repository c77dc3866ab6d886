package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

// StatusOptions of `comfyctl status`.
type StatusOptions struct {
	Targets []string
}

func newStatusCmd(a *App, f runFunc[StatusOptions]) *cobra.Command {
	o := &StatusOptions{}
	return &cobra.Command{
		Use:               "status [TARGET…]",
		Short:             "What is running, where, how it does",
		Example:           "comfyctl status\nuntil comfyctl status -q; do sleep 5; done",
		SuggestFor:        []string{"ps", "ls"},
		GroupID:           groupShip,
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Targets = args
			return f(cmd.Context(), a, o)
		},
	}
}

func runStatus(ctx context.Context, a *App, o *StatusOptions) error {
	s, err := a.serviceOnly()
	if err != nil {
		return err
	}
	names := o.Targets
	if len(names) == 0 {
		for _, t := range s.Targets {
			if t.Type == "docker" {
				names = append(names, t.Name)
			}
		}
		if len(s.Targets) == 0 {
			names = []string{localTarget}
		}
	}
	list := []deploy.Release{}
	for _, n := range names {
		p, err := a.place(ctx, s, n)
		if err != nil {
			return err
		}
		some, err := p.Observe(ctx)
		if err = errors.Join(err, p.close()); err != nil {
			return err
		}
		list = append(list, some...)
	}
	a.reply.data = list
	if !a.flags.Quiet {
		if err := a.print(a.statusTable(list)); err != nil {
			return err
		}
	}
	unwell := 0
	for _, r := range list {
		if r.State != "ready" {
			unwell++
		}
	}
	switch {
	case len(list) == 0:
		return failure("not_deployed", "nothing of "+s.Name+" is deployed", "comfyctl deploy "+names[0], nil)
	case unwell > 0:
		a.quietError = !a.machine()
		return failure("unhealthy", fmt.Sprintf("%s of %s not ready", count(unwell, "release"), s.Name), "comfyctl logs", nil)
	}
	return nil
}

var statusHead = []string{"SERVICE", "ENV", "TARGET", "RELEASE", "STATE", "ENGINE", "GPU", "SINCE", "URL"}

// statusTable is for people on a terminal, where columns drop from the right;
// elsewhere it is tab-separated with full values.
func (a *App) statusTable(list []deploy.Release) string {
	rows := [][]string{}
	for _, r := range list {
		state := r.State
		if r.Reason != "" {
			state += " (" + r.Reason + ")"
		}
		since := "-"
		if !r.Since.IsZero() {
			since = r.Since.UTC().Format(time.RFC3339)
		}
		row := []string{r.Service, r.Env, r.Target, r.Release, state, r.Engine, r.GPU, since, r.URL}
		for i := range row {
			if row[i] = strings.ReplaceAll(diag.Safe(row[i]), "\t", " "); row[i] == "" {
				row[i] = "-"
			}
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	out := a.console().Out
	if !out.TTY {
		for _, row := range append([][]string{statusHead}, rows...) {
			b.WriteString(strings.Join(row, "\t") + "\n")
		}
		return b.String()
	}
	width := make([]int, len(statusHead))
	for _, row := range append([][]string{statusHead}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], runewidth.StringWidth(cell))
		}
	}
	columns, room := 0, out.Width()
	for room -= width[columns]; columns < len(width) && room >= 0; {
		if columns++; columns < len(width) {
			room -= width[columns] + 2
		}
	}
	for i, row := range append([][]string{statusHead}, rows...) {
		var cells []string
		for j, cell := range row[:columns] {
			cells = append(cells, runewidth.FillRight(cell, width[j]))
		}
		line := strings.TrimRight(strings.Join(cells, "  "), " ")
		if i == 0 {
			line = out.Paint(term.Bold, line)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
