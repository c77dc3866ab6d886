package cli

import "github.com/spf13/cobra"

// commands lists every command in the order of help.
func commands(a *App) []*cobra.Command {
	return []*cobra.Command{
		newInitCmd(a, runInit),
		newValidateCmd(a, runValidate),
		newGraphCmd(a, runGraph),
		newLockCmd(a, runLock),
		newPackCmd(a, runPack),
		newPushCmd(a, runPush),
		newInspectCmd(a, runInspect),
		newRunCmd(a, runRun),
		newCallCmd(a, runCall),
		newTestCmd(a, runTest),
		newDeployCmd(a, runDeploy),
		newStatusCmd(a, runStatus),
		newLogsCmd(a, runLogs),
		newDestroyCmd(a, runDestroy),
		newExportCmd(a, runExport),
		newDoctorCmd(a, runDoctor),
		newCacheCmd(a, runCache),
		newCompletionCmd(a),
		newVersionCmd(a),
	}
}
