package scaffold

import "github.com/comfyctl/comfyctl/pkg/hardware"

// gpu writes the smallest usual card that holds the graph's models one at a
// time, and how that was reckoned.
func (w *writer) gpu() {
	e := hardware.Of(w.g, hardware.Options{SizeOf: w.sizeOf})
	w.report.Estimate = e.Lines
	gpu, why := "none", "the graph loads no model"
	switch {
	case e.Models:
		gpu, why = hardware.Rung(e.Need), "estimated: "+e.Short()
		if e.Sure == hardware.Guess {
			why += "; partly guessed"
		}
	case len(w.report.Nodes) > 0:
		gpu, why = "8GB", "a guess: nodes of packs may load models"
	}
	w.report.GPU = gpu
	w.line("")
	w.line("gpu: %s   # %s", gpu, why)
}

// sizeOf is the size of a model file, as it lies here or as the service's
// origin says.
func (w *writer) sizeOf(model string) int64 {
	if w.o.SizeOf != nil {
		if n := w.o.SizeOf(model); n > 0 {
			return n
		}
	}
	return w.known(model).Size
}
