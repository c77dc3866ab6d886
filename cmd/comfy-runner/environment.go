package main

import (
	"os"
	"strings"
)

// lookup is the process's environment, read nowhere else.
type lookup struct {
	list   []string
	values map[string]string
}

func environment(list []string) lookup {
	l := lookup{list: list, values: map[string]string{}}
	for _, kv := range list {
		if name, value, ok := strings.Cut(kv, "="); ok {
			l.values[name] = value
		}
	}
	return l
}

// or is a variable's value, or fallback where it is not set or empty.
func (l lookup) or(name, fallback string) string {
	if v := l.values[name]; v != "" {
		return v
	}
	return fallback
}

// secret is a variable's value, or the content of the file that NAME_FILE
// names.
func (l lookup) secret(name string) (string, bool) {
	if v, ok := l.values[name]; ok {
		return v, true
	}
	if file := l.values[name+"_FILE"]; file != "" {
		if b, err := os.ReadFile(file); err == nil {
			return string(b), true
		}
	}
	return "", false
}
