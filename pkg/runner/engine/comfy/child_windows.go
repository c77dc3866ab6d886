package comfy

import (
	"os"
	"syscall"
)

func processGroup() *syscall.SysProcAttr { return nil }

// signalGroup ends the child by force: Windows has no other signal to send.
func signalGroup(pid int, _ syscall.Signal) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func killGroup(int) {}
