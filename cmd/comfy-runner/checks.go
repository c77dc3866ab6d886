package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// healthcheck asks the runner of this container whether it is ready. The
// first argument may name another address.
func healthcheck(ctx context.Context, args []string, stdout io.Writer, env lookup) error {
	url := "http://127.0.0.1:" + env.or("PORT", "8080") + "/readyz"
	if len(args) > 0 {
		url = strings.TrimSuffix(args[0], "/") + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // who runs the check names it
	if err != nil {
		return fmt.Errorf("asking the runner: %w", err)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("asking the runner: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	fmt.Fprintln(stdout, strings.TrimSpace(string(body)))
	if resp.StatusCode != http.StatusOK {
		return errors.New("the runner is not ready")
	}
	return nil
}

// gpucheck says which GPU devices are visible; none is an error, because who
// asks wants one.
func gpucheck(stdout io.Writer, root fs.FS) error {
	found := 0
	for _, pattern := range []string{"dev/nvidia[0-9]*", "dev/nvidiactl", "dev/nvidia-uvm", "dev/kfd", "dev/dri/renderD*", "dev/dxg"} {
		names, err := fs.Glob(root, pattern)
		if err != nil {
			return fmt.Errorf("looking for devices: %w", err)
		}
		for _, n := range names {
			fmt.Fprintln(stdout, "/"+n)
			if base := path.Base(n); strings.HasPrefix(base, "nvidia") && base[6] >= '0' && base[6] <= '9' || base == "kfd" || base == "dxg" {
				found++
			}
		}
	}
	if v, err := fs.ReadFile(root, "proc/driver/nvidia/version"); err == nil {
		line, _, _ := strings.Cut(string(v), "\n")
		fmt.Fprintln(stdout, line)
	}
	if found == 0 {
		return errors.New("no GPU device is visible; give the container one (docker run --gpus all) or run on the CPU")
	}
	fmt.Fprintf(stdout, "%d GPU device(s)\n", found)
	return nil
}
