// Command comfyctl turns a ComfyUI workflow into a production API.
package main

import (
	"context"
	"os"

	"github.com/comfyctl/comfyctl/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
