package from

import (
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/workflow"
)

// output makes a result of an output mark.
func (u *unmarker) output(n *node, m mark) {
	if m.output == "none" {
		n.gone = true
		u.d.lose("each output has an address of its own", "one archive of all outputs (%s)", n.class)
		return
	}
	name := n.say(m.name)
	switch {
	case m.name != "" && name != "":
		name = paramName(name, m.output)
	case identifier.MatchString(n.title):
		name = paramName(n.title, m.output)
	default:
		name = m.output
	}
	o := contract.Output{Name: free(name, n.id, u.takenOutput), Node: n.id, Type: m.output}
	if m.stays {
		o.Type = ""
		u.d.repo(m.pack, "", true)
		u.d.Outputs = append(u.d.Outputs, o)
		return
	}
	switch strings.ToLower(n.say("file_type")) {
	case "jpg", "jpeg":
		o.Format = "jpeg"
	case "webp":
		o.Format = "webp"
	}
	if q, err := strconv.Atoi(n.number("quality").String()); err == nil && o.Format != "" && q >= 1 && q <= 100 {
		o.Quality = q
	}
	wire := n.field(m.to)
	if wire == nil || wire.link == nil {
		u.d.lose("nothing is wired to it", "output `%s` (%s)", o.Name, n.class)
		n.gone = true
		return
	}
	prefix := oneOf(n.say("filename_prefix"), o.Name)
	n.class = m.becomes
	inputs := []field{*wire, {name: "filename_prefix", raw: quote(prefix), text: prefix, kind: workflow.String}}
	if n.class == "SaveVideo" {
		for _, name := range []string{"format", "codec"} {
			inputs = append(inputs, field{name: name, raw: quote(oneOf(n.say(name), "auto")), kind: workflow.String})
		}
	}
	n.inputs = inputs
	u.d.Outputs = append(u.d.Outputs, o)
}
