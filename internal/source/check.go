package source

import (
	"errors"
	"io"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/modelfile"
)

// mayPickle refuses a pickle that nobody asked for by its hash.
func (w Want) mayPickle() error {
	if !modelfile.IsPickleName(w.Path) || w.AllowPickle && w.SHA256 != "" {
		return nil
	}
	return w.pickled()
}

func (w Want) pickled() error {
	e := &diag.Error{Code: "pickle_not_allowed", Class: diag.ClassCheck, Message: w.Path + " is in a pickle format, and loading it can run code",
		Help: "use a .safetensors file of the same model; or say `allow_pickle: true` and give its sha256"}
	if w.AllowPickle {
		e.Message = w.Path + " is in a pickle format, and nothing says which bytes are meant"
		e.Help = "give the model its sha256"
	}
	return e
}

// check refuses content that is not the model that its name says. A pickle
// must be clean, and wanted even under the name of something else.
func (w Want) check(content io.ReaderAt, size int64) error {
	info, err := modelfile.Read(w.Path, content, size)
	if err == nil && info.Format == modelfile.Pickle && (!w.AllowPickle || w.SHA256 == "") {
		return w.pickled()
	}
	return err
}

func isCode(err error, code string) bool {
	var e *diag.Error
	return errors.As(err, &e) && e.Code == code
}
