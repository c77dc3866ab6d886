package cli

import "github.com/spf13/cobra"

// commands lists every command in the order of help.
func commands(a *App) []*cobra.Command {
	return []*cobra.Command{
		newCallCmd(a, runCall),
		newDoctorCmd(a, runDoctor),
		newCompletionCmd(a),
		newVersionCmd(a),
	}
}
