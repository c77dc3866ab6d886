package from

import (
	_ "embed"
	"fmt"

	"github.com/comfyctl/comfyctl/pkg/catalog"
)

//go:embed marks.json
var marksJSON []byte

// Marks are the definitions of the nodes that Unmark knows, as far as reading
// an editor save needs them: names, order and types of their widgets.
func Marks() (*catalog.Catalog, error) {
	c, err := catalog.ParseObjectInfo(marksJSON)
	if err != nil {
		return nil, fmt.Errorf("reading the definitions of marks: %w", err)
	}
	return c, nil
}
