package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// noArgs refuses arguments in our own words.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError("unexpected_argument", fmt.Sprintf("`comfyctl %s` takes no argument, got `%s`", verb(cmd), args[0]), "comfyctl help "+verb(cmd))
}

// atMostOne refuses more than one argument.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return nil
	}
	return usageError("unexpected_argument", fmt.Sprintf("`comfyctl %s` takes at most 1 argument, got `%s` too", verb(cmd), args[1]), "comfyctl help "+verb(cmd))
}

// oneArg wants exactly one argument.
func oneArg(what, example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError("missing_argument", fmt.Sprintf("`comfyctl %s` needs %s", verb(cmd), what), "for example: "+example)
		}
		return atMostOne(cmd, args)
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// count puts a number before a word: 1 error, 2 errors.
func count(n int, word string) string { return fmt.Sprintf("%d %s%s", n, word, plural(n)) }
