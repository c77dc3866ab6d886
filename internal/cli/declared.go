package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/service"
)

// localService reads the service file at hand, for hints and completion; nil
// where there is none that can be read.
func (a *App) localService() *service.Service {
	file, err := a.serviceFile()
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	s, _ := service.Parse(a.shown(file), b, service.Options{Env: a.flags.Env, Lookup: a.lookup})
	return s
}

// declared is where the service file at hand declares the input that a
// request's pointer names, as FILE:LINE.
func (a *App) declared(pointer string) string {
	name, ok := strings.CutPrefix(pointer, "/input/")
	if !ok {
		return ""
	}
	s := a.localService()
	if s == nil || !s.Has("/inputs/"+name) {
		return ""
	}
	at := s.KeyAt("/inputs/" + name)
	return fmt.Sprintf("%s:%d", at.File, at.Start.Line)
}

// inputNames offers KEY= to the shell.
func (a *App) inputNames() []string {
	s := a.localService()
	if s == nil {
		return nil
	}
	var list []string
	for _, in := range s.Inputs.List {
		list = append(list, in.Name+"=")
	}
	return list
}
