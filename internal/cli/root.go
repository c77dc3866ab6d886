package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// Groups of commands in help.
const (
	groupStart = "start"
	groupBuild = "build"
	groupTry   = "try"
	groupShip  = "ship"
	groupHelp  = "help"
)

// newRoot builds the whole tree.
func newRoot(a *App) *cobra.Command {
	root := &cobra.Command{
		Use:   "comfyctl",
		Short: "Turn a ComfyUI workflow into a production API",
		Long:  "comfyctl turns a ComfyUI workflow and one YAML file into a checked, packed and deployed HTTP service.",
		Example: `comfyctl init workflow_api.json    write comfyctl.yaml from a workflow
comfyctl run --stub                try the API and the page, no GPU needed
comfyctl deploy local              build the image and run it on this machine`,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return a.print(a.helpText(cmd))
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	a.flags.add(root)
	for _, g := range [][2]string{{groupStart, "Start"}, {groupBuild, "Build"}, {groupTry, "Try"}, {groupShip, "Ship"}, {groupHelp, "Help"}} {
		root.AddGroup(&cobra.Group{ID: g[0], Title: g[1]})
	}
	for _, c := range commands(a) {
		root.AddCommand(c)
	}
	root.SetHelpCommand(newHelpCmd(a))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _, _ = io.WriteString(a.out, a.helpText(cmd)) })
	root.SetFlagErrorFunc(flagError)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	completeEnums(root)
	return root
}

// execute runs the arguments and returns the exit code.
func (a *App) execute(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	a.scan(args)
	cmd, err := root.ExecuteContextC(ctx)
	a.releaseCache()
	if a.command == "" {
		a.command = verb(cmd)
	}
	if err != nil {
		err = a.wrap(ctx, err)
		if !a.quietError {
			a.showError(err)
		}
		a.annotateError(err)
	}
	if out := a.finish(err); out != nil && err == nil {
		err = failure("write", "stdout cannot be written", "", out)
		a.showError(err)
	}
	return exitCode(ctx, err)
}

// wrap turns what cobra and contexts say into errors for people.
func (a *App) wrap(ctx context.Context, err error) error {
	var stopped signalError
	if errors.As(context.Cause(ctx), &stopped) && errors.Is(err, context.Canceled) {
		return &diag.Error{Code: "stopped", Message: stopped.Error()}
	}
	var d *diag.Error
	if errors.As(err, &d) {
		return err
	}
	text := err.Error()
	for _, own := range []string{"accepts ", "requires ", "unknown command", "required flag", "if any flags in the group"} {
		if strings.HasPrefix(text, own) {
			return usageError("bad_arguments", text, "comfyctl help "+a.command)
		}
	}
	return err
}

// scan finds -o before cobra has parsed, so that even a wrong flag is answered
// in the format that was asked for.
func (a *App) scan(args []string) {
	take := func(v string) {
		switch v {
		case formatJSON, formatNDJSON:
			a.flags.Output = v
		}
	}
	take(a.env["COMFYCTL_OUTPUT"])
	for i, arg := range args {
		switch {
		case arg == "--":
			return
		case (arg == "-o" || arg == "--output") && i+1 < len(args):
			take(args[i+1])
		case strings.HasPrefix(arg, "--output="):
			take(strings.TrimPrefix(arg, "--output="))
		case strings.HasPrefix(arg, "-o") && !strings.HasPrefix(arg, "--"):
			take(strings.TrimPrefix(strings.TrimPrefix(arg, "-o"), "="))
		}
	}
}

// formatCommands are the commands of the formats that not all of them have.
var formatCommands = map[string][]string{formatGitHub: {"validate"}, formatSARIF: {"validate"}, formatJUnit: {"validate", "test"}}

// prepare settles flags before a command runs.
func (a *App) prepare(cmd *cobra.Command) error {
	a.command = verb(cmd)
	if err := a.settle(cmd); err != nil {
		return err
	}
	a.con = nil // the flags are known now
	for format, commands := range formatCommands {
		if a.flags.Output == format && !slices.Contains(commands, a.command) {
			return usageError("bad_format", "-o "+format+" is for "+strings.Join(commands, " and ")+" only", "-o json works everywhere")
		}
	}
	if _, err := a.dir(); err != nil {
		return err
	}
	return nil
}

// verb is the command's path without the program's name.
func verb(cmd *cobra.Command) string {
	if cmd == nil || !cmd.HasParent() {
		return ""
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// unknownCommand names the command that was most likely meant.
func unknownCommand(root *cobra.Command, got string) error {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
			names = append(names, c.Aliases...)
		}
	}
	help := "`comfyctl help` lists the commands"
	near := diag.Suggest(got, names)
	for _, c := range root.Commands() {
		for _, s := range c.SuggestFor {
			if strings.EqualFold(s, got) {
				near = c.Name()
			}
		}
	}
	if near != "" {
		help = "did you mean `comfyctl " + near + "`?"
	}
	return usageError("unknown_command", "unknown command `"+got+"`", help)
}

// flagError explains a wrong flag and names the one that was most likely meant.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	help := "comfyctl help " + verb(cmd)
	if verb(cmd) == "" {
		help = "comfyctl help"
	}
	if errors.As(err, &missing) {
		name := missing.GetSpecifiedName()
		if short := missing.GetSpecifiedShortnames(); short != "" {
			return usageError("unknown_flag", fmt.Sprintf("unknown flag `-%s`", name), "`"+help+"` lists the flags")
		}
		var names []string
		add := func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		}
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		text := "`" + help + "` lists the flags"
		if near := diag.Suggest(name, names); near != "" {
			text = "did you mean `--" + near + "`?"
		}
		return usageError("unknown_flag", "unknown flag `--"+name+"`", text)
	}
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		return usageError("bad_flag", fmt.Sprintf("`--%s` cannot be %q", wrong.GetFlag().Name, wrong.GetValue()), lastPart(err))
	}
	return usageError("bad_flag", err.Error(), "`"+help+"` lists the flags")
}
