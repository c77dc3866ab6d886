package validate

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/hardware"
)

// gpu holds what the file asks of a machine against what its graphs need.
func (l *loader) gpu() {
	s := l.plan.Service
	var cards []hardware.GPU
	for i, name := range s.GPU.Type {
		at := "/gpu/type/" + itoa(i)
		found := hardware.Find(name)
		if len(found) == 0 {
			d := diag.Diagnostic{Code: "CY007", Severity: diag.SeverityWarning, Message: "`" + name + "` is no known GPU", Label: "its memory and age are not checked"}
			if best := hardware.Suggest(name); best != "" {
				d.Help = "did you mean `" + strings.ToLower(best) + "`?"
			}
			l.at(at, d)
			continue
		}
		cards = append(cards, found[len(found)-1])
		l.torch(at, name, found[0])
	}
	if s.Build.Torch == "" && len(cards) > 1 && len(cards) == len(s.GPU.Type) && hardware.BuildFor(cards...) == "" {
		l.at("/gpu/type", diag.Diagnostic{Code: "CM008", Message: "no one build of torch runs on all of these cards", Label: "too far apart in age, or of two makers",
			Help: "leave one out"})
	}
	if s.GPU.None || len(l.plan.Workflows) == 0 || len(l.plan.Workflows) < len(l.refs()) {
		return
	}
	l.room(cards)
}

// torch checks that the build of torch holds code for a card.
func (l *loader) torch(at, name string, card hardware.GPU) {
	v := hardware.Runs(card, l.plan.Service.Build.Torch, "")
	if v.OK {
		return
	}
	d := diag.Diagnostic{Code: "CM008", Message: fmt.Sprintf("torch %s does not run on `%s`", l.plan.Service.Build.Torch, name), Label: v.Why, Help: "choose another card"}
	if v.Use != "" {
		d.Help = "write `torch: " + v.Use + "`, or choose another card"
	}
	d.Related = []diag.Related{{Span: l.plan.Service.At("/build/torch"), Label: "torch is chosen here"}}
	l.at(at, d)
}

// room checks the memory of the cards, and the machine's memory and disk.
func (l *loader) room(cards []hardware.GPU) {
	s := l.plan.Service
	var most hardware.Estimate // the graph that needs the largest card
	var memory, environment int64
	disk := map[string]int64{}
	for i, w := range l.plan.Workflows {
		e := hardware.Of(w.Graph, hardware.Options{SizeOf: l.sizeOf})
		if i == 0 || e.Need > most.Need {
			most = e
		}
		memory = max(memory, e.Memory)
		rest := e.Disk
		for _, line := range e.Lines {
			if line.Part == "weights" {
				disk[line.Of] = line.Bytes
				rest -= line.Bytes
			}
		}
		environment = max(environment, rest)
	}
	if s.GPU.VRAM.Set {
		at := "/gpu/vram"
		if !s.Has(at) {
			at = "/gpu"
		}
		l.fits(at, "a GPU with "+hardware.GB(s.GPU.VRAM.Bytes), s.GPU.VRAM.Bytes, most)
	} else {
		for i, c := range cards {
			if len(cards) < len(s.GPU.Type) {
				i = 0 // one is not known, so the places are not theirs
			}
			l.fits("/gpu/type/"+itoa(i), "`"+c.Name+"` with "+hardware.GB(c.Sold()*1e9), c.Bytes(), most)
		}
	}
	if s.Memory.Set && memory > s.Memory.Bytes {
		l.at("/memory", diag.Diagnostic{Code: "CM007", Severity: diag.SeverityWarning, Message: "the models need more memory than the machine is to have",
			Label: "about " + hardware.GB(memory) + " hold what does not stay on the card", Help: "write `memory: " + hardware.GB(memory) + "`"})
	}
	var models int64
	for _, n := range disk {
		models += n
	}
	if need := models + environment; s.Disk.Set && need > s.Disk.Bytes {
		l.at("/disk", diag.Diagnostic{Code: "CM007", Severity: diag.SeverityWarning, Message: "the models and the environment need more disk than the machine is to have",
			Label: fmt.Sprintf("about %s: %s models + %s environment", hardware.GB(need), hardware.GB(models), hardware.GB(environment)), Help: "write `disk: " + hardware.GB(need*5/4) + "`"})
	}
}

// fits judges one card.
func (l *loader) fits(at, what string, vram int64, e hardware.Estimate) {
	d := diag.Diagnostic{Code: "CM007", Severity: diag.SeverityWarning, Help: "ask for " + hardware.Rung(e.Need) + ", or use a smaller or quantised model\nestimated: " + e.Short()}
	switch e.Fit(vram) {
	case hardware.TooSmall:
		d.Message, d.Label = what+" is too small for the models", "at least "+hardware.GB(e.Floor)+" are needed, "+hardware.GB(e.Need)+" to keep each model on the card"
	case hardware.Offloads:
		if vram >= e.Need/2 { // more stays than moves: people live with that
			d.Severity = diag.SeverityNote
		}
		d.Message, d.Label = what+" does not hold each model as a whole", "ComfyUI moves parts in and out, which is slow; "+hardware.GB(e.Need)+" would do"
	default:
		return
	}
	if e.Sure == hardware.Guess {
		d.Help += " (a guess: the size of some model is not known)"
	}
	l.at(at, d)
}

// sizeOf is the size of a model in bytes: the lock's, else that of a local file.
func (l *loader) sizeOf(model string) int64 {
	if n := l.lockedModel(model).Size; n > 0 {
		return n
	}
	for _, m := range l.plan.Models {
		if path.Clean(m.Path) != model || m.Load == contract.LoadMount {
			continue
		}
		for _, s := range m.Sources {
			if st, err := os.Stat(l.beside(s)); isLocal(s) && err == nil {
				return st.Size()
			}
		}
	}
	return 0
}
