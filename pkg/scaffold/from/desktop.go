package from

const desktopType = "comfyui-desktop-2-snapshot"

// desktop is the envelope of ComfyUI Desktop's snapshots.
type desktop struct {
	Installation string `json:"installationName" yaml:"installationName"`
	Snapshots    []struct {
		Created string `json:"createdAt" yaml:"createdAt"`
		Label   string `json:"label" yaml:"label"`
		ComfyUI struct {
			Ref     string `json:"ref" yaml:"ref"`
			Commit  string `json:"commit" yaml:"commit"`
			BaseTag string `json:"baseTag" yaml:"baseTag"`
			Ahead   int    `json:"commitsAhead" yaml:"commitsAhead"`
		} `json:"comfyui" yaml:"comfyui"`
		Nodes []struct {
			Type    string `json:"type" yaml:"type"` // cnr, git or file
			ID      string `json:"id" yaml:"id"`
			Dir     string `json:"dirName" yaml:"dirName"`
			Version string `json:"version" yaml:"version"`
			URL     string `json:"url" yaml:"url"`
			Commit  string `json:"commit" yaml:"commit"`
			Enabled *bool  `json:"enabled" yaml:"enabled"`
		} `json:"customNodes" yaml:"customNodes"`
		Pips   map[string]any `json:"pipPackages" yaml:"pipPackages"`
		Python string         `json:"pythonVersion" yaml:"pythonVersion"`
	} `json:"snapshots" yaml:"snapshots"`
}

// readDesktop reads the newest snapshot of an envelope.
func readDesktop(d *Description, src []byte, o Options) error {
	var e desktop
	if err := into(Desktop, src, &e); err != nil {
		return err
	}
	if len(e.Snapshots) == 0 {
		return refuse(Desktop, "export it again in ComfyUI Desktop", "there is no snapshot in it")
	}
	newest := 0
	var names []string
	for i, s := range e.Snapshots {
		if s.Created > e.Snapshots[newest].Created {
			newest = i
		}
		names = append(names, oneOf(s.Label, s.Created))
	}
	at, err := pick(Desktop, o, newest, names)
	if err != nil {
		return err
	}
	s := e.Snapshots[at]
	if n := len(e.Snapshots); n > 1 {
		d.lose("the newest is taken; --pick chooses another", "%s", count(n-1, "older snapshot", "older snapshots"))
	}
	// A release is kept as one where nothing was added to it.
	switch c := s.ComfyUI; {
	case c.BaseTag != "" && c.Ahead == 0:
		d.ComfyUI = tag(c.BaseTag)
	case c.Commit != "":
		d.ComfyUI = tag(c.Commit)
	default:
		d.ComfyUI = tag(c.Ref)
	}
	d.Python = minor(s.Python)
	for _, n := range s.Nodes {
		enabled := n.Enabled == nil || *n.Enabled
		switch {
		case n.Type == "git":
			d.repo(n.URL, n.Commit, enabled)
		case !enabled:
			d.lose("it is disabled there", "node pack %s", n.ID)
		case n.Type == "cnr":
			d.registry(n.ID, n.Version)
		default:
			d.lose("a folder or file of that machine, which the snapshot does not hold; copy it and list it as `path:` under `nodes:`", "node pack %s", n.Dir)
		}
	}
	d.frozen(len(s.Pips))
	return nil
}
