package cli

import (
	"github.com/comfyctl/comfyctl/internal/source"
	"github.com/comfyctl/comfyctl/internal/source/oci"
	"github.com/comfyctl/comfyctl/internal/source/s3"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// modelSources says how model files are fetched: with secrets by name, from the
// hubs that the environment names.
func (a *App) modelSources() (source.Options, error) {
	quota, err := a.cacheMax()
	backends := source.Hubs(source.Endpoints{
		HuggingFace: a.env["HF_ENDPOINT"], Civitai: a.env["CIVITAI_ENDPOINT"], GoogleStorage: a.env["STORAGE_EMULATOR_HOST"],
	})
	backends["s3"], backends["oci"] = s3.New(), oci.Backend{Keychain: a.registry()}
	return source.Options{Secret: a.secret, Backends: backends, Quota: quota}, err
}

// cacheMax is the limit of the content store in bytes, 0 for none.
func (a *App) cacheMax() (int64, error) {
	v := a.env["COMFYCTL_CACHE_MAX"]
	if v == "" {
		return 0, nil
	}
	n, err := service.ParseSize(v)
	if err != nil {
		return 0, usageError("bad_variable", "COMFYCTL_CACHE_MAX is "+v, err.Error())
	}
	return n, nil
}
