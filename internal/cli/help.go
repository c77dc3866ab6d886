package cli

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/term"
	"github.com/comfyctl/comfyctl/pkg/service"
	"github.com/comfyctl/comfyctl/templates"
)

// topics are the pages of help that are no command.
var topics = [][2]string{
	{"environment", "the variables that comfyctl reads"},
	{"exit-codes", "what each exit code means"},
	{"output", "what goes to stdout, and -o json"},
	{"schema", "every key of comfyctl.yaml; with --json its JSON Schema"},
	{"rules", "the checks of validate, a line each; CW or CW1* for some"},
	{"CW105 …", "a rule: why, a bad and a good example, how to mend it"},
}

// newHelpCmd serves commands, topics and rules.
func newHelpCmd(a *App) *cobra.Command {
	var tree bool
	cmd := &cobra.Command{
		Use:     "help [COMMAND|TOPIC|RULE]",
		Short:   "Explain a command, a topic or a rule",
		Example: "comfyctl help run\ncomfyctl help exit-codes\ncomfyctl help CW105\ncomfyctl help 'CW1*'\ncomfyctl help schema --json",
		GroupID: groupHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case tree && len(args) == 1 && args[0] == "schema":
				a.reply.data = json.RawMessage(service.Schema())
				return a.print(strings.TrimSuffix(string(service.Schema()), "\n"))
			case tree && len(args) == 1 && len(rulesNamed(args[0])) > 0:
				a.flags.Output = formatJSON
			case tree:
				return a.helpTree(cmd.Root())
			}
			text, err := a.helpFor(cmd.Root(), args)
			if err != nil {
				return err
			}
			a.reply.data = map[string]string{"text": text}
			if len(args) == 1 {
				if list := rulesNamed(args[0]); len(list) > 0 {
					pages := []rulePage{}
					for _, r := range list {
						pages = append(pages, pageOf(r))
					}
					a.reply.data = map[string]any{"rules": pages}
				}
			}
			return a.print(text)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var list []string
			for _, c := range cmd.Root().Commands() {
				list = append(list, c.Name())
			}
			for _, r := range diag.Rules() {
				list = append(list, r.ID)
			}
			return append(list, "environment", "exit-codes", "output", "rules", "schema"), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVar(&tree, "json", false, "the whole command tree, for tools; of schema, the JSON Schema; of rules, their pages")
	return cmd
}

func (a *App) helpFor(root *cobra.Command, args []string) (string, error) {
	if len(args) == 0 {
		return a.helpText(root), nil
	}
	switch args[0] {
	case "exit-codes":
		return helpExitCodes(), nil
	case "environment":
		return helpEnvironment(root), nil
	case "output":
		return helpOutput, nil
	case "schema":
		b, err := templates.FS.ReadFile("comfyctl.full.yaml")
		return string(b), err
	}
	if r, ok := diag.Lookup(strings.ToUpper(args[0])); ok {
		return a.helpRule(r), nil
	}
	if cmd, rest, err := root.Find(args); err == nil && len(rest) == 0 && cmd != root {
		return a.helpText(cmd), nil
	}
	if list := rulesNamed(args[0]); len(list) > 0 {
		return a.helpRules(list), nil
	}
	var ids []string
	for _, r := range diag.Rules() {
		ids = append(ids, r.ID)
	}
	if near := diag.Suggest(args[0], append(ids, "exit-codes", "environment", "output", "rules", "schema")); near != "" {
		return "", usageError("unknown_topic", "no help about `"+args[0]+"`", "did you mean `comfyctl help "+near+"`?")
	}
	return "", unknownCommand(root, args[0])
}

// helpText is a command's page: examples come first.
func (a *App) helpText(cmd *cobra.Command) string {
	s := a.console().Out
	var b strings.Builder
	title := func(t string) { fmt.Fprintf(&b, "\n%s\n", s.Paint(term.Bold, t)) }
	if cmd.Long != "" {
		b.WriteString(cmd.Long + "\n")
	} else {
		b.WriteString(cmd.Short + ".\n")
	}
	if cmd.Example != "" {
		title("Examples")
		b.WriteString(indent(cmd.Example))
	}
	title("Usage")
	if cmd.HasParent() {
		b.WriteString("  comfyctl " + strings.TrimSuffix(strings.TrimPrefix(cmd.UseLine(), "comfyctl "), " [flags]") + "\n")
		if len(cmd.Aliases) > 0 {
			b.WriteString("  also: " + strings.Join(cmd.Aliases, ", ") + "\n")
		}
	} else {
		b.WriteString("  comfyctl COMMAND [ARGUMENT…]\n")
	}
	for _, g := range cmd.Groups() {
		var list strings.Builder
		for _, c := range cmd.Commands() {
			if c.GroupID == g.ID && c.IsAvailableCommand() {
				fmt.Fprintf(&list, "  %-11s %s\n", c.Name(), c.Short)
			}
		}
		if list.Len() > 0 {
			title(g.Title)
			b.WriteString(list.String())
		}
	}
	if !cmd.HasParent() {
		title("Topics of `comfyctl help`")
		for _, t := range topics {
			fmt.Fprintf(&b, "  %-11s %s\n", t[0], t[1])
		}
	}
	if cmd.HasParent() && cmd.LocalNonPersistentFlags().HasAvailableFlags() {
		title("Flags")
		b.WriteString(cmd.LocalNonPersistentFlags().FlagUsagesWrapped(100))
	}
	title("Flags of every command")
	b.WriteString(cmd.Root().PersistentFlags().FlagUsagesWrapped(100))
	return b.String()
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// indentAll keeps the indent of the first line, which is part of an example.
func indentAll(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n" }

func (a *App) helpRule(r diag.Rule) string {
	s := a.console().Out
	var b strings.Builder
	level := string(r.Level)
	if r.CI != "" {
		level += "; " + string(r.CI) + " in a pipeline"
	}
	fmt.Fprintf(&b, "%s %s (%s)\n\n%s\n", s.Paint(term.Bold, r.ID), r.Title, level, r.Why)
	if len(r.Server) > 0 {
		fmt.Fprintf(&b, "ComfyUI's own answer would be: %s\n", strings.Join(r.Server, ", or "))
	}
	fmt.Fprintf(&b, "\n%s\n%s", s.Paint(term.Bold, "Bad"), indentAll(r.Bad))
	fmt.Fprintf(&b, "\n%s\n%s", s.Paint(term.Bold, "Good"), indentAll(r.Good))
	fmt.Fprintf(&b, "\n%s\n%s", s.Paint(term.Bold, "Mend it"), indent(r.Mend))
	fmt.Fprintf(&b, "\n%s\n%s", s.Paint(term.Bold, "Turn it off"), indent("checks: { "+r.ID+": off }        # or error, warning, note\n# comfyctl: ignore "+r.ID+" - why    # on the line, in YAML"))
	return b.String()
}

func helpExitCodes() string {
	var b strings.Builder
	b.WriteString("Exit codes, the same on every command.\n\n")
	for _, c := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n       a pipeline should: %s\n", c.Code, c.Meaning, c.Advice)
	}
	return b.String()
}

// helpEnvironment is made from the flags of all commands.
func helpEnvironment(root *cobra.Command) string {
	where := map[string][]string{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden {
				where[f.Name] = append(where[f.Name], verb(c))
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	var b strings.Builder
	b.WriteString("Every flag can be set by a variable. A flag on the command line wins, then the\nvariable, then ~/.config/comfyctl/config.yaml (flag names and values).\n\nEvery command\n")
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { fmt.Fprintf(&b, "  %-24s --%s\n", variable(f.Name), f.Name) })
	b.WriteString("\nSome commands\n")
	var names []string
	for n := range where {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(&b, "  %-24s --%s of %s\n", variable(n), n, strings.Join(where[n], ", "))
	}
	b.WriteString(`
Without a flag
  COMFYCTL_KEY             API key that call, test and status send
  COMFYCTL_KEY_FILE        the same, read from a file
  NO_COLOR, CLICOLOR_FORCE, TERM=dumb, ACCESSIBLE   colours and symbols
  CI                       never ask
  GITHUB_ACTIONS           annotations, log groups, $GITHUB_OUTPUT, $GITHUB_STEP_SUMMARY
  DOCKER_HOST              which Docker Engine
  HF_ENDPOINT              a mirror of Hugging Face; CIVITAI_ENDPOINT one of Civitai
  COMFYCTL_CACHE_DIR       where fetched files are kept (default: ~/.cache/comfyctl)
  COMFYCTL_CACHE_MAX       how much they may take, such as 200GB
  NAME, NAME_FILE          the value of the secret NAME, or a file that holds it; - is stdin
`)
	return b.String()
}

const helpOutput = `What goes where.

  stdout   the result alone: a path, an image reference, a URL, a report
  stderr   the story: progress, findings, errors, questions

  -o text     the default; piped text is the same without colour
  -o json     one document, also when the command fails:
              {"schema":"comfyctl/v1","command":"pack","ok":true,"data":{…},
               "diagnostics":[…],"error":null,"took_ms":41230,"version":"0.4.0"}
  -o ndjson   one JSON object a line: {"type":"step",…}, {"type":"event",…} …
              and last {"type":"result", and the fields of -o json}

Fields may be added under comfyctl/v1; readers ignore those they do not know.
On failure "error" holds code, message, help and retryable.
`

// treeCommand is one command for tools.
type treeCommand struct {
	Name    string     `json:"name"`
	Usage   string     `json:"usage"`
	Short   string     `json:"short"`
	Aliases []string   `json:"aliases"`
	Example string     `json:"example,omitempty"`
	Flags   []treeFlag `json:"flags"`
}

type treeFlag struct {
	Name     string `json:"name"`
	Short    string `json:"short,omitempty"`
	Type     string `json:"type"`
	Default  string `json:"default,omitempty"`
	Usage    string `json:"usage"`
	Variable string `json:"variable"`
}

func treeFlags(set *pflag.FlagSet) []treeFlag {
	list := []treeFlag{}
	set.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden {
			list = append(list, treeFlag{f.Name, f.Shorthand, f.Value.Type(), f.DefValue, strings.ReplaceAll(f.Usage, "`", ""), variable(f.Name)})
		}
	})
	return list
}

func (a *App) helpTree(root *cobra.Command) error {
	list := []treeCommand{}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			list = append(list, treeCommand{c.Name(), c.UseLine(), c.Short, append([]string{}, c.Aliases...), c.Example, treeFlags(c.LocalNonPersistentFlags())})
		}
	}
	a.reply.data = map[string]any{"commands": list, "flags": treeFlags(root.PersistentFlags()), "exit_codes": exitCodes}
	if a.flags.Output == formatText {
		a.flags.Output = formatJSON
	}
	return nil
}
