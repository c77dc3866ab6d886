//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/runner/boot"
)

// role makes the test binary be another process.
const role = "COMFY_FAULTS_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "runner":
		os.Exit(beRunner())
	case "engine":
		os.Exit(beEngine(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// runnerSettings are handed to the process as JSON.
type runnerSettings struct {
	Contract, State, Listen, EngineURL string
	Backoff, CancelTimeout             time.Duration
}

const settingsVariable = "COMFY_FAULTS_RUNNER"

// beRunner is comfy-runner, but for its flags.
func beRunner() int {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := func() error {
		var s runnerSettings
		if err := json.Unmarshal([]byte(os.Getenv(settingsVariable)), &s); err != nil {
			return err
		}
		b, err := os.ReadFile(s.Contract)
		if err != nil {
			return err
		}
		c, err := contract.Decode(b)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", s.Listen)
		if err != nil {
			return err
		}
		env := append(os.Environ(), role+"=engine")
		return boot.Run(ctx, boot.Options{Contract: c, StateDir: s.State, API: l, EngineURL: s.EngineURL, Backoff: s.Backoff, CancelTimeout: s.CancelTimeout, Environ: env, Log: log, Auth: "off"})
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}
