package catalog

import (
	"path"
	"slices"
	"strings"
)

// LoaderFolder is the model folder (under ComfyUI's models) whose files a core
// loader offers for an input.
func LoaderFolder(class, input string) (folder string, ok bool) {
	folder, ok = loaders[class][input]
	return folder, ok
}

// ModelFiles lists the model files, as folder/name, that a core loader needs
// for a value; none where the value names no file of its own. An input that is
// no model input gives none.
func ModelFiles(class, input, value string) []string {
	folder, ok := LoaderFolder(class, input)
	if !ok || value == "" {
		return nil
	}
	value = strings.ReplaceAll(value, `\`, "/")
	switch {
	case slices.Contains(fixed[class+"."+input], value):
		return nil
	case folder == "configs" && slices.Contains(shippedConfigs, value):
		return nil
	case folder == "vae" && slices.Contains(tinyPairs, value):
		return []string{"vae_approx/" + value + "_encoder.safetensors", "vae_approx/" + value + "_decoder.safetensors"}
	case folder == "vae" && slices.ContainsFunc(tinySingles, func(p string) bool { return strings.HasPrefix(value, p) }):
		return []string{"vae_approx/" + value}
	}
	return []string{folder + "/" + value}
}

// Folders lists the model folders that ComfyUI knows, with their older names.
func Folders() []string { return slices.Clone(folders) }

// KnownFolder reports whether ComfyUI knows the first folder of a model path.
func KnownFolder(name string) bool { return slices.Contains(folders, name) }

// SameFile reports whether a model path serves a need: equal, or the same name
// in another folder that ComfyUI reads for the same key (unet for
// diffusion_models, clip for text_encoders, t2i_adapter for controlnet). For
// the tiny VAEs any extension does.
func SameFile(have, need string) bool {
	have, need = canonical(have), canonical(need)
	if have == need {
		return true
	}
	if base, ok := strings.CutSuffix(need, "coder.safetensors"); ok && strings.HasPrefix(need, "vae_approx/") {
		return strings.HasPrefix(have, base+"coder.")
	}
	return strings.HasPrefix(need, "diffusers/") && strings.HasPrefix(have, need+"/")
}

func canonical(p string) string {
	p = path.Clean(strings.ReplaceAll(p, `\`, "/"))
	if dir, rest, ok := strings.Cut(p, "/"); ok && sameFolder[dir] != "" {
		return sameFolder[dir] + "/" + rest
	}
	return p
}

var sameFolder = map[string]string{"unet": "diffusion_models", "clip": "text_encoders", "t2i_adapter": "controlnet"}

var folders = []string{
	"audio_encoders", "background_removal", "checkpoints", "classifiers", "clip", "clip_vision", "configs", "controlnet",
	"detection", "diffusers", "diffusion_models", "embeddings", "frame_interpolation", "geometry_estimation", "gligen",
	"hypernetworks", "latent_upscale_models", "loras", "model_patches", "optical_flow", "photomaker", "style_models",
	"t2i_adapter", "text_encoders", "unet", "upscale_models", "vae", "vae_approx",
}

// fixed are options that name no file.
var fixed = map[string][]string{
	"VAELoader.vae_name":          {"pixel_space"},
	"TrainLoraNode.existing_lora": {"[None]"},
}

// shippedConfigs are part of ComfyUI's repository.
var shippedConfigs = []string{
	"anything_v3.yaml", "v1-inference.yaml", "v1-inference_clip_skip_2.yaml", "v1-inference_clip_skip_2_fp16.yaml",
	"v1-inference_fp16.yaml", "v1-inpainting-inference.yaml", "v2-inference-v.yaml", "v2-inference-v_fp32.yaml",
	"v2-inference.yaml", "v2-inference_fp32.yaml", "v2-inpainting-inference.yaml",
}

// tinyPairs need an encoder and a decoder file, tinySingles start the names of
// single files; both lie in vae_approx.
var (
	tinyPairs   = []string{"taesd", "taesdxl", "taesd3", "taef1", "taef2"}
	tinySingles = []string{"taehv", "lighttaew2_1", "lighttaew2_2", "lighttaehy1_5", "taeltx_2"}
)

var loaders = map[string]map[string]string{
	"AudioEncoderLoader":             {"audio_encoder_name": "audio_encoders"},
	"CheckpointLoader":               {"config_name": "configs", "ckpt_name": "checkpoints"},
	"CheckpointLoaderSimple":         {"ckpt_name": "checkpoints"},
	"CLIPLoader":                     {"clip_name": "text_encoders"},
	"CLIPVisionLoader":               {"clip_name": "clip_vision"},
	"ControlNetLoader":               {"control_net_name": "controlnet"},
	"CreateHookLora":                 {"lora_name": "loras"},
	"CreateHookLoraModelOnly":        {"lora_name": "loras"},
	"CreateHookModelAsLora":          {"ckpt_name": "checkpoints"},
	"CreateHookModelAsLoraModelOnly": {"ckpt_name": "checkpoints"},
	"DiffControlNetLoader":           {"control_net_name": "controlnet"},
	"DiffusersLoader":                {"model_path": "diffusers"},
	"DualCLIPLoader":                 {"clip_name1": "text_encoders", "clip_name2": "text_encoders"},
	"FrameInterpolationModelLoader":  {"model_name": "frame_interpolation"},
	"GLIGENLoader":                   {"gligen_name": "gligen"},
	"HypernetworkLoader":             {"hypernetwork_name": "hypernetworks"},
	"ImageOnlyCheckpointLoader":      {"ckpt_name": "checkpoints"},
	"LatentUpscaleModelLoader":       {"model_name": "latent_upscale_models"},
	"LoadBackgroundRemovalModel":     {"bg_removal_name": "background_removal"},
	"LoadDA3Model":                   {"model_name": "geometry_estimation"},
	"LoadMediaPipeFaceLandmarker":    {"model_name": "detection"},
	"LoadMoGeModel":                  {"model_name": "geometry_estimation"},
	"LoraLoader":                     {"lora_name": "loras"},
	"LoraLoaderBypass":               {"lora_name": "loras"},
	"LoraLoaderBypassModelOnly":      {"lora_name": "loras"},
	"LoraLoaderModelOnly":            {"lora_name": "loras"},
	"LTXAVTextEncoderLoader":         {"text_encoder": "text_encoders", "ckpt_name": "checkpoints"},
	"LTXVAudioVAELoader":             {"ckpt_name": "checkpoints"},
	"ModelPatchLoader":               {"name": "model_patches"},
	"OpticalFlowLoader":              {"model_name": "optical_flow"},
	"PhotoMakerLoader":               {"photomaker_model_name": "photomaker"},
	"QuadrupleCLIPLoader": {"clip_name1": "text_encoders", "clip_name2": "text_encoders",
		"clip_name3": "text_encoders", "clip_name4": "text_encoders"},
	"StyleModelLoader":       {"style_model_name": "style_models"},
	"TrainLoraNode":          {"existing_lora": "loras"},
	"TripleCLIPLoader":       {"clip_name1": "text_encoders", "clip_name2": "text_encoders", "clip_name3": "text_encoders"},
	"unCLIPCheckpointLoader": {"ckpt_name": "checkpoints"},
	"UNETLoader":             {"unet_name": "diffusion_models"},
	"UpscaleModelLoader":     {"model_name": "upscale_models"},
	"VAELoader":              {"vae_name": "vae"},
}

// inputFiles are inputs of core classes that name an uploaded file, and its
// kind. Inputs with an upload marker in the schema need no entry.
var inputFiles = map[string]map[string]string{
	"LoadImage":                      {"image": "image"},
	"LoadImageMask":                  {"image": "image"},
	"LoadImageOutput":                {"image": "image"},
	"LoadAudio":                      {"audio": "audio"},
	"RecordAudio":                    {"audio": "audio"},
	"LoadVideo":                      {"file": "video"},
	"LoadLatent":                     {"latent": "latent"},
	"Load3D":                         {"model_file": "3d"},
	"Load3DAdvanced":                 {"model_file": "3d"},
	"Load3DAnimation":                {"model_file": "3d"},
	"WebcamCapture":                  {"image": "image"},
	"GeminiInputFiles":               {"file": "text"},
	"OpenAIInputFiles":               {"file": "text"},
	"LoadImageSetFromFolderNode":     {"folder": "folder"},
	"LoadImageTextSetFromFolderNode": {"folder": "folder"},
	"LoadImageDataSetFromFolder":     {"folder": "folder"},
	"LoadImageTextDataSetFromFolder": {"folder": "folder"},
	"LoadVideoDataSetFromFolder":     {"folder": "folder"},
	"LoadVideoTextDataSetFromFolder": {"folder": "folder"},
	"LoadTrainingDataset":            {"folder_name": "folder"},
}
