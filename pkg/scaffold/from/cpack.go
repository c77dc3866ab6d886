package from

import (
	"strings"
)

// readCPack reads an archive of comfy-pack.
func readCPack(d *Description, src []byte, _ Options) error {
	a, err := open(src)
	if err != nil {
		return err
	}
	list, err := a.text("snapshot.json")
	if err != nil {
		return err
	}
	if list == nil {
		return refuse(CPack, "give an archive that comfy-pack made, X.cpack.zip", "there is no snapshot.json in it")
	}
	if d.Graph, err = a.text("workflow_api.json"); err != nil {
		return err
	}
	if d.Graph == nil {
		if d.Graph, err = a.text("workflow.json"); err != nil {
			return err
		}
	}
	if err := readSnapshot(d, list, Options{}); err != nil {
		return err
	}
	var media []string
	for _, name := range a.names {
		if rest, ok := strings.CutPrefix(name, "input/"); ok {
			media = append(media, rest)
		}
	}
	if len(media) > 0 {
		shown := media
		more := ""
		if len(shown) > 3 {
			shown, more = shown[:3], " …"
		}
		d.lose("callers send their own files; unpack one to try the service with", "%s of input/: %s%s", count(len(media), "file", "files"), strings.Join(shown, ", "), more)
	}
	if a.files["requirements.txt"] != nil {
		text, err := a.text("requirements.txt")
		if err != nil {
			return err
		}
		d.frozen(len(strings.Fields(string(text))))
	}
	return nil
}
