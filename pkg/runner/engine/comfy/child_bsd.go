//go:build unix && !linux

package comfy

import "syscall"

// processGroup gives the child a group of its own, so that what it starts can
// be ended with it.
func processGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
