// Command server answers /readyz as a runner does. Its first argument is the
// contract's digest; the second, if any, how it misbehaves.
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	mode := ""
	if len(os.Args) > 2 {
		mode = os.Args[2]
	}
	fmt.Println("hello from the engine")
	if mode == "die" {
		fmt.Println("cannot load the model")
		os.Exit(3)
	}
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"ready":true,"release":%q,"contract":%q,"engine":{"kind":"stub","stage":"ready"}}`, os.Getenv("COMFYCTL_IMAGE_DIGEST"), os.Args[1])
	})
	_ = http.ListenAndServe(":8080", nil)
}
