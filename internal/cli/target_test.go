package cli

import (
	"slices"
	"testing"
)

func TestElsewhere(t *testing.T) {
	for host, want := range map[string]bool{
		"": false, "unix:///var/run/docker.sock": false, "npipe:////./pipe/docker_engine": false, "tcp://127.0.0.1:2375": false, "tcp://localhost:2375": false, "tcp://[::1]:2375": false,
		"tcp://10.0.0.7:2376": true, "ssh://gpu@lab": true,
	} {
		if got := elsewhere(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestGPUFlag(t *testing.T) {
	for flag, want := range map[string][]string{"all": nil, "none": nil, "0": {"0"}, "0,1": {"0", "1"}, "GPU-1f2e,MIG-7": {"GPU-1f2e", "MIG-7"}} {
		if !gpuFlag.MatchString(flag) || !slices.Equal(gpuList(flag), want) {
			t.Errorf("%s: %v", flag, gpuList(flag))
		}
	}
	for _, flag := range []string{"", "0,", "-1", "0 1", "0;rm"} {
		if gpuFlag.MatchString(flag) {
			t.Errorf("%q is taken", flag)
		}
	}
}
