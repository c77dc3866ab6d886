package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// reap collects the orphans that process 1 inherits, so that they do not stay
// as zombies. The engine's own process is waited for elsewhere: it is a child
// of ours from its birth and is left alone here.
func reap() {
	if os.Getpid() != 1 {
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			for _, pid := range orphans("/proc") {
				var status syscall.WaitStatus
				// Gone already, if this fails.
				_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
			}
		}
	}()
}

// orphans lists the ended children of process 1 that are not leaders of their
// process group: whatever this program starts leads a group of its own.
func orphans(proc string) []int {
	stats, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	var list []int
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		text := string(b)
		// The name in brackets may hold anything, so fields count from its end.
		at := strings.LastIndexByte(text, ')')
		if at < 0 {
			continue
		}
		f := strings.Fields(text[at+1:])
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || len(f) < 3 || f[0] != "Z" || f[1] != "1" || f[2] == strconv.Itoa(pid) {
			continue
		}
		list = append(list, pid)
	}
	return list
}
