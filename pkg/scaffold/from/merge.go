package from

// Merge puts descriptions of one service together. What is set in the first
// stays; lists are joined. Either may be nil.
func Merge(a, b *Description) *Description {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	m := *a
	for _, s := range []struct{ to, from *string }{{&m.Name, &b.Name}, {&m.About, &b.About}, {&m.ComfyUI, &b.ComfyUI}, {&m.Python, &b.Python}, {&m.Torch, &b.Torch}} {
		if *s.to == "" {
			*s.to = *s.from
		}
	}
	if m.Kind == "" {
		m.Kind = b.Kind
	}
	if m.Graph == nil {
		m.Graph = b.Graph
	}
	m.Inputs = append(m.Inputs[:len(m.Inputs):len(m.Inputs)], b.Inputs...)
	m.Outputs = append(m.Outputs[:len(m.Outputs):len(m.Outputs)], b.Outputs...)
	m.Packs = append(m.Packs[:len(m.Packs):len(m.Packs)], b.Packs...)
	m.Models = append(m.Models[:len(m.Models):len(m.Models)], b.Models...)
	m.System = append(m.System[:len(m.System):len(m.System)], b.System...)
	m.Packages = append(m.Packages[:len(m.Packages):len(m.Packages)], b.Packages...)
	m.Lost = append(m.Lost[:len(m.Lost):len(m.Lost)], b.Lost...)
	m.tidy()
	return &m
}
