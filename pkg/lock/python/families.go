package python

import (
	"slices"
	"strings"
)

// family is a set of packages of which an environment may hold one, because
// they write the same files.
type family struct {
	members []string
	// pick chooses from the members that are asked for.
	pick func(asked map[string]bool, cuda bool) string
	why  string
}

var families = []family{
	{[]string{"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"}, func(asked map[string]bool, _ bool) string {
		if asked["opencv-contrib-python"] || asked["opencv-contrib-python-headless"] {
			return "opencv-contrib-python-headless"
		}
		return "opencv-python-headless"
	}, "all builds of OpenCV write one cv2; the one without windows needs no display"},
	{[]string{"onnxruntime", "onnxruntime-gpu"}, func(asked map[string]bool, cuda bool) string {
		if asked["onnxruntime-gpu"] && cuda {
			return "onnxruntime-gpu"
		}
		return "onnxruntime"
	}, "both builds write one onnxruntime; the torch that is asked for decides"},
}

// choice is a family's decision.
type choice struct {
	keep string
	drop []string
}

// settle rewrites requirements so that each family has one member. Names that
// only turn up as a dependency are given in more.
func settle(list []Requirement, more []string, cuda bool) ([]Requirement, []choice, []Note) {
	list = slices.Clone(list)
	var choices []choice
	var notes []Note
	for _, f := range families {
		asked := map[string]bool{}
		for _, r := range list {
			if slices.Contains(f.members, r.Name) {
				asked[r.Name] = true
			}
		}
		for _, name := range more {
			if slices.Contains(f.members, name) {
				asked[name] = true
			}
		}
		if len(asked) == 0 {
			continue
		}
		keep := f.pick(asked, cuda)
		c := choice{keep: keep}
		for _, m := range f.members {
			if m != keep {
				c.drop = append(c.drop, m)
			}
		}
		choices = append(choices, c)
		for i, r := range list {
			if r.Name != keep && slices.Contains(f.members, r.Name) {
				list[i].Line = keep + strings.TrimPrefix(r.Line, r.Name)
				list[i].Name = keep
				notes = append(notes, Note{From: r.From, Line: clean(r.Raw), What: keep + " instead: " + f.why})
			}
		}
	}
	return list, choices, notes
}
