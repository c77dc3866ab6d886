//go:build !linux && !windows

package cli

func zombie(int) bool { return false }
