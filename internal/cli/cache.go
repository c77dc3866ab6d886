package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/dockerengine"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/lock"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// CacheOptions of `comfyctl cache` and what is below it.
type CacheOptions struct {
	// Do is list, prune or verify.
	Do           string
	Max, Older   string
	DryRun, Full bool
}

// defaultOlder is what prune removes when nothing is said.
const defaultOlder = "30d"

func newCacheCmd(a *App, f runFunc[CacheOptions]) *cobra.Command {
	sub := func(o CacheOptions, c *cobra.Command) *cobra.Command {
		own := &o
		c.Args = noArgs
		c.RunE = run(a, own, f)
		if own.Do == "prune" {
			c.Flags().StringVar(&own.Max, "max", "", "leave at most `SIZE`, removing first what was of use longest ago")
			c.Flags().StringVar(&own.Older, "older", "", "remove what was of no use for `TIME`; "+defaultOlder+" without --max")
			c.Flags().BoolVar(&own.DryRun, "dry-run", false, "only say what would go")
			c.Flags().BoolVar(&own.Full, "all", false, "also what this project's lock and service file name, and what containers are bound to")
		}
		return c
	}
	cmd := sub(CacheOptions{Do: "list"}, &cobra.Command{
		Use: "cache", Short: "Show or shrink the content store", GroupID: groupHelp,
		Long:    "Show what was fetched and packed on this machine, what it takes, and what the project here still needs. All of it can be fetched or made again.",
		Example: "comfyctl cache\ncomfyctl cache prune --older 30d --dry-run\ncomfyctl cache prune --max 100GB\ncomfyctl cache verify",
	})
	cmd.AddCommand(
		sub(CacheOptions{Do: "list"}, &cobra.Command{Use: "list", Short: "Show what is in it", Example: "comfyctl cache list -o json"}),
		sub(CacheOptions{Do: "prune"}, &cobra.Command{Use: "prune", Short: "Remove what is old, or too much", Example: "comfyctl cache prune --max 100GB --dry-run"}),
		sub(CacheOptions{Do: "verify"}, &cobra.Command{Use: "verify", Short: "Read every file again and remove the damaged", Example: "comfyctl cache verify"}),
	)
	return cmd
}

// cacheEntry is a file of the store, in replies.
type cacheEntry struct {
	SHA256 string `json:"sha256,omitempty"` // empty for an interrupted download
	Name   string `json:"name,omitempty"`
	Size   int64  `json:"size"` // bytes on disk
	// Used is the last time that it was of use, RFC 3339.
	Used time.Time `json:"used"`
	// Needed is true where the lock or the service file here names it, or a
	// container of comfyctl on this machine is bound to it.
	Needed bool `json:"needed"`
}

// cacheReply is the data of `cache`; of prune, Entries are those that went.
type cacheReply struct {
	Dir     string       `json:"dir"`
	Size    int64        `json:"size"`
	Entries []cacheEntry `json:"entries"`
}

func runCache(ctx context.Context, a *App, o *CacheOptions) error {
	dir, err := a.cacheDir()
	if err != nil {
		return err
	}
	store := cas.Open(filepath.Join(dir, "cas"))
	if o.Do == "verify" {
		return a.cacheVerify(ctx, store)
	}
	needed := a.neededHashes()
	if err := a.addMounted(ctx, needed); err != nil {
		return err
	}
	if o.Do == "prune" {
		return a.cachePrune(ctx, o, store, needed)
	}
	items, err := store.Items()
	if err != nil {
		return err
	}
	r := entriesOf(store, items, needed)
	a.reply.data = r
	return a.print(r.table())
}

var hash64 = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// neededHashes are those that the lock and the service file here name. Without
// a project there are none.
func (a *App) neededHashes() map[string]bool {
	out := map[string]bool{}
	file, err := a.serviceFile()
	if err != nil {
		return out
	}
	for _, name := range []string{file, filepath.Join(filepath.Dir(file), lock.FileName)} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // no lock yet
		}
		for _, sum := range hash64.FindAllString(strings.ToLower(string(b)), -1) {
			out[sum] = true
		}
	}
	return out
}

// addMounted adds the files that containers of comfyctl are bound to. Without
// Docker there are none.
func (a *App) addMounted(ctx context.Context, needed map[string]bool) error {
	e, err := a.docker(ctx)
	if err != nil {
		return nil //nolint:nilerr // as said
	}
	defer e.Close()
	list, err := e.Containers(ctx, map[string]string{"dev.comfyctl.service": ""}, true)
	if err != nil {
		return err
	}
	for _, c := range list {
		full, err := e.Container(ctx, c.ID)
		if dockerengine.IsNotFound(err) {
			continue // gone meanwhile
		}
		if err != nil {
			return err
		}
		for _, m := range full.Mounts {
			needed[filepath.Base(m.Source)] = true
		}
	}
	return nil
}

func entriesOf(store *cas.Store, items []cas.Item, needed map[string]bool) cacheReply {
	slices.SortFunc(items, func(a, b cas.Item) int { return b.Used.Compare(a.Used) })
	r := cacheReply{Dir: store.Dir(), Entries: []cacheEntry{}}
	for _, it := range items {
		r.Size += it.Size
		r.Entries = append(r.Entries, cacheEntry{SHA256: it.SHA256, Name: it.Name, Size: it.Size, Used: it.Used.UTC().Truncate(time.Second), Needed: needed[it.SHA256]})
	}
	return r
}

// table shows the latest first, and the sum.
func (r cacheReply) table() string {
	return fmt.Sprintf("%s%s in %s, %s\n", r.rows(), units.HumanSize(float64(r.Size)), count(len(r.Entries), "file"), r.Dir)
}

func (r cacheReply) rows() string {
	var b strings.Builder
	for _, e := range r.Entries {
		sum, name, mark := "-", e.Name, ""
		switch {
		case e.SHA256 == "":
			name = "interrupted download"
		case name == "":
			name = "layer"
		}
		if e.SHA256 != "" {
			sum = e.SHA256[:12]
		}
		if e.Needed {
			mark = "  needed"
		}
		fmt.Fprintf(&b, "%-12s  %9s  %s  %s%s\n", sum, units.HumanSize(float64(e.Size)), e.Used.Format(time.DateOnly), diag.Safe(name), mark)
	}
	return b.String()
}

func (a *App) cachePrune(ctx context.Context, o *CacheOptions, store *cas.Store, needed map[string]bool) error {
	limits := cas.Limits{Dry: o.DryRun, Keep: func(sum string) bool { return needed[sum] && !o.Full }}
	older := o.Older
	if older == "" && o.Max == "" {
		older = defaultOlder
	}
	if older != "" {
		d, err := service.ParseDuration(older)
		if err != nil {
			return usageError("bad_flag", "`--older` cannot be \""+older+"\"", err.Error())
		}
		limits.Before = time.Now().Add(-d)
	}
	if o.Max != "" {
		n, err := service.ParseSize(o.Max)
		if err != nil {
			return usageError("bad_flag", "`--max` cannot be \""+o.Max+"\"", err.Error())
		}
		limits.Max = max(n, 1) // 0 leaves nothing
	}
	gone, err := store.Prune(ctx, limits)
	if errors.Is(err, cas.ErrInUse) {
		return &diag.Error{Code: "cache_in_use", Class: diag.ClassFailed, Retryable: true, Message: "another comfyctl works with the cache",
			Help: "wait until it has ended; nothing was removed"}
	}
	r := entriesOf(store, gone, needed)
	a.reply.data = r
	if err != nil {
		return err
	}
	did := "removed "
	if o.DryRun {
		did = "would remove "
	}
	return a.print(fmt.Sprintf("%s%s%s, %s", r.rows(), did, count(len(r.Entries), "file"), units.HumanSize(float64(r.Size))))
}

func (a *App) cacheVerify(ctx context.Context, store *cas.Store) error {
	items, err := store.Items()
	if err != nil {
		return err
	}
	on, done := a.steps()
	defer done()
	ev := progress.Event{Step: "cache", State: progress.Running}
	for _, it := range items {
		ev.Total += it.Size
	}
	var damaged []cas.Item
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		if it.SHA256 != "" {
			var wrong *cas.WrongHashError
			if err := store.Verify(it.SHA256); errors.As(err, &wrong) {
				damaged = append(damaged, it)
			} else if err != nil {
				return err
			}
		}
		ev.Done += it.Size
		on(ev)
	}
	done()
	a.reply.data = entriesOf(store, damaged, nil)
	if len(damaged) == 0 {
		return a.print(fmt.Sprintf("%s, all as they were\n", count(len(items), "file")))
	}
	e := &diag.Error{Code: "cache_damaged", Class: diag.ClassFailed, Message: count(len(damaged), "file") + " had other bytes than their names say, and were removed",
		Help: "they are fetched again when they are needed; look after the disk"}
	for _, it := range damaged {
		e.Facts = append(e.Facts, [2]string{it.SHA256[:12], it.Name})
	}
	return e
}

// holdCache keeps `cache prune` of other processes away until this command has
// ended: an image is read from the store until it is delivered.
func (a *App) holdCache(ctx context.Context) error {
	if a.heldCache != nil {
		return nil
	}
	dir, err := a.cacheDir()
	if err != nil {
		return err
	}
	a.heldCache, err = cas.Open(filepath.Join(dir, "cas")).Hold(ctx)
	return err
}

func (a *App) releaseCache() {
	if a.heldCache != nil {
		_ = a.heldCache() // the end of the process does it too
		a.heldCache = nil
	}
}
