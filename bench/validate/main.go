// Command validate measures `comfyctl validate` as people run it: a process a
// call, on a graph of 30 nodes, beside a process that does nothing; then a
// whole folder of services in one process.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	binary := flag.String("comfyctl", "bin/comfyctl", "the binary to measure")
	runs := flag.Int("runs", 40, "processes for each figure")
	corpus := flag.String("corpus", "", "folder of workflows to check in one process")
	flag.Parse()
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "comfyctl-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	one := filepath.Join(dir, "one")
	if err := writeService(one, graph(30)); err != nil {
		return err
	}
	fmt.Printf("%-34s %8s %8s %8s   of %d runs\n", "milliseconds", "best", "median", "p95", *runs)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"/bin/true", nil},
		{"comfyctl version", []string{"version"}},
		{"comfyctl validate, 30 nodes", []string{"-C", one, "validate"}},
		{"comfyctl validate -o json", []string{"-C", one, "validate", "-o", "json"}},
	} {
		program := path
		if c.args == nil {
			program = c.name
		}
		times, err := measure(*runs, program, c.args...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Printf("%-34s %8.1f %8.1f %8.1f\n", c.name, times[0], times[len(times)/2], times[len(times)*95/100])
	}
	if *corpus == "" {
		return nil
	}
	return measureCorpus(path, filepath.Join(dir, "corpus"), *corpus)
}

// measure runs a program again and again and gives the wall times in
// milliseconds, sorted.
func measure(runs int, program string, args ...string) ([]float64, error) {
	var times []float64
	for i := range runs + 2 {
		began := time.Now()
		out, err := exec.Command(program, args...).CombinedOutput() //nolint:gosec // the binary to measure
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
		if i >= 2 { // the first ones warm the page cache
			times = append(times, float64(time.Since(began).Microseconds())/1000)
		}
	}
	slices.Sort(times)
	return times, nil
}

// measureCorpus makes a service of every workflow and checks all of them in
// one process. Findings are expected: most need models and node packs.
func measureCorpus(binary, dir, corpus string) error {
	files, err := filepath.Glob(filepath.Join(corpus, "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no workflows in %s: %w", corpus, err)
	}
	var size int64
	for i, f := range files {
		f, err := filepath.Abs(f)
		if err != nil {
			return err
		}
		if st, err := os.Stat(f); err == nil {
			size += st.Size()
		}
		service := filepath.Join(dir, fmt.Sprintf("s%03d", i))
		if err := os.MkdirAll(service, 0o755); err != nil {
			return err
		}
		text := fmt.Sprintf("name: s%03d\nworkflow: %q\n", i, f)
		if err := os.WriteFile(filepath.Join(service, "comfyctl.yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	began := time.Now()
	cmd := exec.Command(binary, "validate", "-o", "json", dir) //nolint:gosec // the binary to measure
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	took := time.Since(began)
	var code *exec.ExitError
	if found := errors.As(err, &code) && code.ExitCode() == 3; err != nil && !found {
		return fmt.Errorf("%w\n%s", err, errOut.String())
	}
	var e struct {
		Data struct {
			Nodes  int
			Counts map[string]int
		}
	}
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		return err
	}
	fmt.Printf("%d workflows, %.1f MB, %d nodes, one process: %.2f s, %.2f s of it on a CPU (%d errors, %d warnings found)\n", len(files), float64(size)/1e6, e.Data.Nodes, took.Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), e.Data.Counts["error"], e.Data.Counts["warning"])
	return nil
}

func writeService(dir, graph string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	yaml := "name: bench\nworkflow: w.json\nchecks: { CL001: off, CM003: off }\nmodels: [{ path: checkpoints/x.safetensors, source: \"https://example.com/x\", load: mount }]\n" +
		"inputs: { prompt: 2.text, seed: { to: 5.seed, type: seed, default: random } }\n"
	return errors.Join(os.WriteFile(filepath.Join(dir, "comfyctl.yaml"), []byte(yaml), 0o600), os.WriteFile(filepath.Join(dir, "w.json"), []byte(graph), 0o600))
}

// graph is a text-to-image graph that samples again and again until it has n
// nodes.
func graph(n int) string {
	nodes := []string{
		`"1":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"x.safetensors"}}`,
		`"2":{"class_type":"CLIPTextEncode","inputs":{"text":"a fox","clip":["1",1]}}`,
		`"3":{"class_type":"CLIPTextEncode","inputs":{"text":"blurry","clip":["1",1]}}`,
		`"4":{"class_type":"EmptyLatentImage","inputs":{"width":512,"height":512,"batch_size":1}}`,
	}
	for len(nodes) < n-2 {
		id := len(nodes) + 1
		nodes = append(nodes, fmt.Sprintf(`"%d":{"class_type":"KSampler","inputs":{"seed":%d,"steps":20,"cfg":7.0,"sampler_name":"euler","scheduler":"normal","denoise":1.0,"model":["1",0],"positive":["2",0],"negative":["3",0],"latent_image":["%d",0]}}`, id, id, id-1))
	}
	nodes = append(nodes, fmt.Sprintf(`"%d":{"class_type":"VAEDecode","inputs":{"samples":["%d",0],"vae":["1",2]}}`, n-1, n-2), fmt.Sprintf(`"%d":{"class_type":"SaveImage","inputs":{"filename_prefix":"x","images":["%d",0]}}`, n, n-1))
	return "{" + strings.Join(nodes, ",\n") + "}"
}
