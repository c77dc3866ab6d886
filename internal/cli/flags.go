package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Output formats. github and sarif are of validate, junit of validate and
// test; Markdown is for --report only.
const (
	formatText     = "text"
	formatJSON     = "json"
	formatNDJSON   = "ndjson"
	formatGitHub   = "github"
	formatJUnit    = "junit"
	formatSARIF    = "sarif"
	formatMarkdown = "md"
)

// globalFlags mean the same on every command.
type globalFlags struct {
	File, Env, Output, Color, Dir string
	Quiet, Yes, NoInput, NoCI     bool
	Verbose                       int
	Reports                       []string
}

func (g *globalFlags) add(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&g.File, "file", "f", "", "service `FILE` (default: comfyctl.yaml, then comfyctl.yml, here or in a parent folder)")
	f.StringVarP(&g.Env, "env", "e", "", "environment `NAME` from environments:")
	enumVar(f, &g.Output, "output", "o", formatText, "what stdout holds", formatText, formatJSON, formatNDJSON, formatSARIF, formatJUnit, formatGitHub)
	f.BoolVarP(&g.Quiet, "quiet", "q", false, "errors and the stdout value only")
	f.CountVarP(&g.Verbose, "verbose", "v", "say more; -vv adds HTTP lines")
	f.BoolVarP(&g.Yes, "yes", "y", false, "answer yes to every question")
	f.BoolVar(&g.NoInput, "no-input", false, "never ask, fail instead")
	enumVar(f, &g.Color, "color", "", "auto", "when to use colours", "auto", "always", "never")
	f.StringArrayVar(&g.Reports, "report", nil, "also write a report to `FILE`; the suffix .sarif .xml .json .md or FORMAT=FILE tells the format (validate, test)")
	f.StringVarP(&g.Dir, "dir", "C", "", "act as if started in `DIR`")
	f.BoolVar(&g.NoCI, "no-ci", false, "no workflow commands of GitHub Actions")
}

// enum is a flag with a list of values.
type enum struct {
	to     *string
	values []string
}

func enumVar(f *pflag.FlagSet, to *string, name, short, def, usage string, values ...string) {
	*to = def
	f.VarP(&enum{to, values}, name, short, usage+": "+strings.Join(values, " | "))
}

// String is the present value.
func (e *enum) String() string { return *e.to }

// Type is what help shows.
func (e *enum) Type() string { return "WORD" }

// Set takes one of the values.
func (e *enum) Set(s string) error {
	if slices.Contains(e.values, s) {
		*e.to = s
		return nil
	}
	text := "one of " + strings.Join(e.values, ", ")
	if near := diag.Suggest(s, e.values); near != "" {
		text = fmt.Sprintf("did you mean %q? It takes %s", near, text)
	}
	return errors.New(text)
}

// completeEnums offers the values of enum flags to the shell.
func completeEnums(cmd *cobra.Command) {
	offer := func(f *pflag.Flag) {
		if e, ok := f.Value.(*enum); ok {
			// An error means that completion is there already.
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(e.values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	cmd.Flags().VisitAll(offer)
	cmd.PersistentFlags().VisitAll(offer)
	for _, c := range cmd.Commands() {
		completeEnums(c)
	}
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "COMFYCTL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settle gives flags that were not on the command line their value from
// COMFYCTL_* variables, else from the configuration file.
func (a *App) settle(cmd *cobra.Command) error {
	config, err := a.config()
	if err != nil {
		return err
	}
	var bad error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || bad != nil {
			return
		}
		name, where := variable(f.Name), ""
		value, ok := a.env[name]
		where = name
		if !ok || value == "" {
			if value, ok = config[f.Name]; !ok {
				return
			}
			where = "`" + f.Name + "` in " + a.configFile()
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			bad = usageError("bad_variable", fmt.Sprintf("%s is %q", where, value), "it takes "+lastPart(err))
		}
	})
	return bad
}

// configFile is the user's own defaults: flag names and values.
func (a *App) configFile() string {
	switch {
	case runtime.GOOS == "windows" && a.env["AppData"] != "":
		return filepath.Join(a.env["AppData"], "comfyctl", "config.yaml")
	case a.env["XDG_CONFIG_HOME"] != "":
		return filepath.Join(a.env["XDG_CONFIG_HOME"], "comfyctl", "config.yaml")
	case a.env["HOME"] != "":
		return filepath.Join(a.env["HOME"], ".config", "comfyctl", "config.yaml")
	}
	return ""
}

func (a *App) config() (map[string]string, error) {
	name := a.configFile()
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, usageError("bad_config", name+" cannot be read", err.Error())
	}
	var c map[string]string
	if err := yaml.Unmarshal(b, &c); err != nil {
		return nil, usageError("bad_config", name+" is not a mapping of flag names to values", "write lines such as `color: never`")
	}
	return c, nil
}

// lastPart is what a pflag error says after its own preamble.
func lastPart(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "\" flag: "); i >= 0 {
		text = text[i+len("\" flag: "):]
	}
	return text
}
