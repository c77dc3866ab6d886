package validate

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// errToldAlready stands for a finding that is filed.
var errToldAlready = errors.New("told already")

// readWorkflow reads a workflow file: its bytes, and the text in them. Of a
// picture or video only the parts that hold a workflow are read, so that the
// bytes are nil.
func (l *loader) readWorkflow(name string) (file, text []byte, err error) {
	if l.o.ReadFile != nil {
		file, err = l.read(name)
		return file, file, err
	}
	f, err := os.Open(l.path(name))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) || !workflow.IsMedia(head[:n]) {
		file, err = l.read(name)
		return file, file, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("asking for its size: %w", err)
	}
	text, _, d, err := workflow.Text(name, f, info.Size())
	if d != nil {
		l.add(*d)
		return nil, nil, errToldAlready
	}
	return nil, text, err
}

// fixable drops the fixes that an editor save or a picture cannot take: those
// of values that do not stand in the file as they are.
func fixable(g *workflow.Graph, list []diag.Diagnostic) []diag.Diagnostic {
	derived := map[diag.Position]bool{}
	for _, n := range g.Nodes {
		for _, in := range n.Inputs {
			if in.Derived {
				derived[in.ValueSpan.Start] = true
			}
		}
	}
	if len(derived) == 0 {
		return list
	}
	for i := range list {
		if derived[list[i].Start] {
			list[i].Fix = nil
		}
	}
	return list
}
