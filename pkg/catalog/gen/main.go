// Command gen writes a built-in node catalog from a recorded /object_info.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/comfyctl/comfyctl/pkg/catalog/gen/reduce"
)

func main() {
	from := flag.String("object-info", "", "file with the answer of GET /object_info")
	version := flag.String("version", "", "ComfyUI release it was recorded from, such as v0.3.64")
	out := flag.String("out", "pkg/catalog/data", "folder to write VERSION.txt.gz to")
	flag.Parse()
	if err := write(*from, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func write(from, version, out string) error {
	if from == "" || version == "" {
		return fmt.Errorf("--object-info and --version are needed")
	}
	src, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("reading object_info: %w", err)
	}
	packed, err := reduce.Catalog(src)
	if err != nil {
		return err
	}
	file := filepath.Join(out, version+".txt.gz")
	if err := os.WriteFile(file, packed, 0o644); err != nil {
		return fmt.Errorf("writing catalog: %w", err)
	}
	return nil
}
