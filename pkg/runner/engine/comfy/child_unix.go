//go:build unix

package comfy

import "syscall"

// signalGroup signals the child and all that it started.
func signalGroup(pid int, s syscall.Signal) {
	// ESRCH means that they are gone, which is what the caller wants.
	_ = syscall.Kill(-pid, s)
}

// killGroup ends what an ended child left behind, and reaps it where we are
// process 1 and so its new parent.
func killGroup(pid int) {
	signalGroup(pid, syscall.SIGKILL)
	for {
		n, err := syscall.Wait4(-pid, nil, syscall.WNOHANG, nil)
		if n <= 0 || err != nil {
			return
		}
	}
}
