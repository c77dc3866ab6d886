package cli

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/comfyctl/comfyctl/internal/diag"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletionCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Write a shell's completion script",
		Example: `source <(comfyctl completion bash)
comfyctl completion fish > ~/.config/fish/completions/comfyctl.fish`,
		GroupID:   groupHelp,
		ValidArgs: shells,
		Args:      oneArg("the shell", "comfyctl completion bash"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b bytes.Buffer
			var err error
			switch args[0] {
			case "bash":
				err = cmd.Root().GenBashCompletionV2(&b, true)
			case "zsh":
				err = cmd.Root().GenZshCompletion(&b)
			case "fish":
				err = cmd.Root().GenFishCompletion(&b, true)
			case "powershell":
				err = cmd.Root().GenPowerShellCompletionWithDesc(&b)
			default:
				help := "it is one of bash, zsh, fish, powershell"
				if near := diag.Suggest(args[0], shells); near != "" {
					help = "did you mean `" + near + "`?"
				}
				return usageError("unknown_shell", "no completion for `"+args[0]+"`", help)
			}
			if err != nil {
				return fmt.Errorf("writing completion: %w", err)
			}
			a.reply.data = map[string]string{"shell": args[0], "script": b.String()}
			return a.print(b.String())
		},
	}
}
