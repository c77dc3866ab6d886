package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/internal/registry"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/validate"
)

// LockOptions of `comfyctl lock`.
type LockOptions struct {
	Check, Update, Offline, Accept bool
	// Names are what --update chooses anew; none is everything.
	Names    []string
	Platform string
	Feeds    lock.Feeds
	Torch    string
}

func newLockCmd(a *App, f runFunc[LockOptions]) *cobra.Command {
	o := &LockOptions{}
	cmd := &cobra.Command{
		Use:     "lock [--update [NAME…]]",
		Short:   "Pin every ref, model hash and package",
		Long:    "Find the node pack of every class, and pin everything that enters an image in comfyctl.lock: commits, hashes, Python packages. What is locked stays until it is asked for in another way, or named after --update.",
		Example: "comfyctl lock\ncomfyctl lock --check\ncomfyctl lock --update rgthree-comfy\ncomfyctl lock --accept-suggested",
		GroupID: groupBuild,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Names = args; len(args) > 0 && !o.Update {
				return usageError("unexpected_argument", "`"+args[0]+"` is not expected here", "did you mean `comfyctl lock --update "+args[0]+"`?")
			}
			return f(cmd.Context(), a, o)
		},
	}
	fl := cmd.Flags()
	def := lock.DefaultFeeds()
	fl.BoolVar(&o.Check, "check", false, "compare the lock with the service file, without network; 5 when it is out of date")
	fl.BoolVar(&o.Update, "update", false, "choose anew what the names after it stand for: comfyui, python, base, nodes, models, a pack, a package or a model; everything without a name")
	fl.BoolVar(&o.Offline, "offline", false, "use the lock and the cache alone")
	fl.BoolVar(&o.Accept, "accept-suggested", false, "where several packs could give a class, write the first of them into the service file")
	fl.StringVar(&o.Platform, "platform", "", "`OS/ARCH` of the image (default linux/amd64)")
	fl.StringVar(&o.Feeds.Map, "node-map", def.Map, "map from classes to repositories (`URL` or file)")
	fl.StringVar(&o.Feeds.Stats, "node-stats", def.Stats, "popularity of repositories, to order suggestions (`URL` or file)")
	fl.StringVar(&o.Feeds.Registry, "node-registry", def.Registry, "API of the node registry (`URL`); empty asks none")
	fl.StringVar(&o.Torch, "torch-index", lock.TorchIndex, "where builds of torch have their indexes (`URL`)")
	cmd.MarkFlagsMutuallyExclusive("check", "update")
	cmd.MarkFlagsMutuallyExclusive("check", "accept-suggested")
	return cmd
}

// locked is the result of lock.
type locked struct {
	File    string        `json:"file"`
	Changed []lock.Change `json:"changed"`
	Stale   bool          `json:"stale"`
}

func runLock(ctx context.Context, a *App, o *LockOptions) error {
	p, err := a.lockable(ctx)
	if err != nil {
		return err
	}
	old := p.lock
	if o.Check {
		return a.checkLock(ctx, p, old)
	}
	on, done := a.steps()
	defer done()
	l, err := a.makeLock(ctx, o, p, old, on)
	var open *lock.Unresolved
	if errors.As(err, &open) && o.Accept && len(open.Suggestions) > 0 {
		if p, err = a.accept(ctx, p, open, on); err == nil {
			l, err = a.makeLock(ctx, o, p, old, on)
		}
	}
	if err != nil {
		return err
	}
	return a.keepLock(p, old, l, on, done)
}

// lockable reads the service and stops at what makes it unreadable. Everything
// else may only be known once there is a lock.
func (a *App) lockable(ctx context.Context) (*project, error) {
	file, err := a.serviceFile()
	if err != nil {
		return nil, err
	}
	p, list, err := a.check(ctx, file, validate.Options{Stub: true})
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool {
		return !strings.HasPrefix(d.Code, "CY0") && !strings.HasPrefix(d.Code, "CW0")
	})
	if !diag.HasErrors(list) {
		return p, nil
	}
	a.reply.diags = list
	return nil, a.refuse(file, list)
}

func (a *App) makeLock(ctx context.Context, o *LockOptions, p *project, old *lock.Lock, on progress.Func) (*lock.Lock, error) {
	cache, err := a.cacheDir()
	if err != nil {
		return nil, err
	}
	lo := lock.Options{
		Fetcher:  lock.Fetcher{CacheDir: cache, Dir: p.Dir, Offline: o.Offline, Secret: a.secret},
		Old:      old,
		Platform: o.Platform,
		Progress: on,
		Feeds:    o.Feeds,
		Index:    a.env["PIP_INDEX_URL"],
		Extra:    strings.Fields(a.env["PIP_EXTRA_INDEX_URL"]),
		CA:       a.env["PIP_CERT"], TorchIndex: o.Torch,
	}
	if ca := p.Service.Build.CA; ca != "" {
		lo.CA = filepath.Join(p.Dir, ca)
		if filepath.IsAbs(ca) {
			lo.CA = ca
		}
	}
	if o.Update {
		if lo.Update = o.Names; len(o.Names) == 0 {
			lo.Update = []string{"*"}
		}
		if err := known(old, p, lo.Update); err != nil {
			return nil, err
		}
	}
	docker := &share{app: a}
	defer docker.close()
	lo.Base = func(ctx context.Context, image string) (string, error) { return a.baseDigest(ctx, docker, image) }
	lo.Model = func(ctx context.Context, m validate.Model) (lock.Model, error) {
		return a.modelFacts(ctx, p, m, cache, o.Offline, on)
	}
	return lock.Make(ctx, p.Plan, lo)
}

// known refuses names of --update that stand for nothing.
func known(l *lock.Lock, p *project, names []string) error {
	have := []string{"*", "comfyui", "python", "base", "nodes", "models"}
	if l != nil {
		for _, n := range l.Nodes {
			have = append(have, n.Dir, n.ID, n.URL)
		}
		for _, w := range l.Wheels {
			have = append(have, w.Name)
		}
	}
	for _, m := range p.Models {
		have = append(have, m.Path)
	}
	for _, name := range names {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(h, name) }) {
			help := "it takes comfyui, python, base, nodes, models, or the name of a pack, package or model in the lock"
			named := slices.DeleteFunc(slices.Clone(have), func(h string) bool { return h == "" || h == "*" })
			if best := diag.Suggest(name, named); best != "" {
				help = "did you mean `" + best + "`?"
			}
			return usageError("unknown_name", "the lock has nothing called `"+name+"`", help)
		}
	}
	return nil
}

// baseDigest pins the image below. One that was made on this machine has no
// digest anywhere; its id in Docker stands for it.
func (a *App) baseDigest(ctx context.Context, docker *share, image string) (string, error) {
	local := ""
	if e, err := docker.get(ctx); err == nil {
		if img, err := e.Image(ctx, image); err == nil {
			if len(img.Digests) == 0 {
				return img.ID, nil
			}
			_, local, _ = strings.Cut(img.Digests[0], "@")
		}
	}
	ref, err := registry.Parse(image)
	if err != nil {
		return "", err
	}
	d, err := a.registry().Digest(ctx, ref)
	if err != nil && local != "" && ctx.Err() == nil {
		return local, nil
	}
	return d, err
}

// accept writes the first candidates into the service file and reads it again.
func (a *App) accept(ctx context.Context, p *project, open *lock.Unresolved, on progress.Func) (*project, error) {
	for _, s := range open.Suggestions {
		file, edit, ok := p.Service.Append("/nodes", s.Lines())
		if !ok {
			return nil, &diag.Error{Code: "cannot_edit", Class: diag.ClassCheck, Message: "`nodes:` is written in a way that nothing can be added to", Help: open.Problem.Help}
		}
		name := p.abs(file)
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, failure("cannot_read", a.shown(name)+" cannot be read", "", err)
		}
		out, err := diag.Apply(src, []diag.Edit{edit})
		if err == nil {
			err = writeAtomic(name, out)
		}
		if err != nil {
			return nil, failure("cannot_write", a.shown(name)+" cannot be written", "", err)
		}
		who := s.Repo
		if who == "" {
			who = s.Registry
		}
		on(progress.Event{Step: "nodes", State: progress.Done, Item: who, Text: "written into " + a.shown(name) + " for " + strings.Join(s.Classes, ", ")})
		if p, err = a.lockable(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// keepLock writes the lock where it changed, and says what changed.
func (a *App) keepLock(p *project, old, l *lock.Lock, on progress.Func, done func()) error {
	file := filepath.Join(p.Dir, lock.FileName)
	now, err := l.Encode()
	if err != nil {
		return err
	}
	before, _ := os.ReadFile(file) // what cannot be read differs
	changes := lock.Diff(old, l)
	a.reply.data = locked{File: a.shown(file), Changed: orNone(changes)}
	if string(before) == string(now) {
		on(progress.Event{Step: "lock", State: progress.Done, Item: a.shown(file), Text: "unchanged"})
		done()
		return nil
	}
	if err := l.Write(p.Dir); err != nil {
		return err
	}
	added, changed, removed := 0, 0, 0
	for _, c := range changes {
		switch {
		case c.From == "":
			added++
		case c.To == "":
			removed++
		default:
			changed++
		}
	}
	on(progress.Event{Step: "lock", State: progress.Done, Item: a.shown(file), Text: fmt.Sprintf("written, %d new, %d changed, %d removed", added, changed, removed)})
	done()
	if old != nil && !a.console().Quiet {
		a.console().Alert("%s", diag.Safe(changeTable(changes)))
	}
	return nil
}

func orNone(list []lock.Change) []lock.Change {
	if list == nil {
		return []lock.Change{}
	}
	return list
}

// maxChanges is how many changes are shown; -o json has all.
const maxChanges = 40

func changeTable(list []lock.Change) string {
	var b strings.Builder
	for i, c := range list {
		if i == maxChanges {
			fmt.Fprintf(&b, "  … and %d more (-o json has all)\n", len(list)-i)
			break
		}
		mark, text := "~", c.From+" → "+c.To
		switch {
		case c.From == "":
			mark, text = "+", c.To
		case c.To == "":
			mark, text = "-", c.From
		}
		fmt.Fprintf(&b, "  %s %-36s %s\n", mark, c.Path, text)
	}
	return b.String()
}

func (a *App) checkLock(ctx context.Context, p *project, l *lock.Lock) error {
	file := a.shown(filepath.Join(p.Dir, lock.FileName))
	stale := func(changes []lock.Change, message string) error {
		a.reply.data = locked{File: file, Changed: orNone(changes), Stale: true}
		return staleLock(message, changes)
	}
	if l == nil {
		return stale(nil, "there is no "+file)
	}
	changes, err := lock.Check(ctx, p.Plan, l)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		return stale(changes, file+" is out of date")
	}
	a.reply.data = locked{File: file, Changed: []lock.Change{}}
	con := a.console()
	var size int64
	for _, m := range l.Models {
		size += m.Size
	}
	return a.print(fmt.Sprintf("%s %s: up to date (%s, %s, %s, %s)", con.Mark(con.Out, term.OK), file, count(len(l.Nodes), "node pack"), count(len(l.Wheels), "package"), count(len(l.Models), "model"), units.HumanSize(float64(size))))
}
