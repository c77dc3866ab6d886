package media

import (
	"encoding/binary"
	"fmt"

	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// glb reads asset.extras of a 3D scene.
func (f *file) glb() error {
	head, err := f.bytes(12, 8)
	if err != nil {
		return err
	}
	if string(head[4:]) != "JSON" {
		return errCut
	}
	text, err := f.bytes(20, int64(binary.LittleEndian.Uint32(head)))
	if err != nil {
		return err
	}
	v, err := object(text)
	if err != nil {
		return err
	}
	f.members("asset.extras", text, v.Get("asset").Get("extras"))
	return nil
}

// safetensors reads the metadata of a latent or a model.
func (f *file) safetensors() error {
	head, err := f.bytes(0, 8)
	if err != nil {
		return err
	}
	size := binary.LittleEndian.Uint64(head)
	if size > MaxText {
		return errLarge
	}
	text, err := f.bytes(8, int64(size)) //nolint:gosec // bounded above
	if err != nil {
		return err
	}
	v, err := object(text)
	if err != nil {
		return err
	}
	f.members("metadata", text, v.Get("__metadata__"))
	return nil
}

func object(text []byte) (*jsonpos.Value, error) {
	v, _, bad := jsonpos.Scan(text, 0)
	if bad != nil {
		return nil, fmt.Errorf("the header is not JSON: %w", bad)
	}
	return &v, nil
}

// members takes the texts and objects of a JSON object.
func (f *file) members(where string, text []byte, v *jsonpos.Value) {
	if v == nil {
		return
	}
	for i := range v.Members {
		switch m := &v.Members[i]; m.Val.Kind {
		case jsonpos.String:
			f.take(where, m.Key, []byte(m.Val.Text))
		case jsonpos.Object:
			f.take(where, m.Key, text[m.Val.Start:m.Val.End])
		}
	}
}
