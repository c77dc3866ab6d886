// Package from reads what other tools wrote about a workflow: the archives,
// lists and marks from which a service file can be made. Every reader gives
// the same neutral Description; what it cannot carry over it lists as Lost.
//
// The shapes were learned from the tools' public repositories:
//
//   - comfy-pack: X.cpack.zip with snapshot.json, workflow_api.json and input/,
//     and the nodes CPackInput… and CPackOutput… in graphs;
//   - ComfyUI-Manager: snapshots in JSON or YAML;
//   - ComfyUI Desktop: snapshots in an envelope (versions 1 and 2);
//   - comfyui-api: manifest.yml or .json with apt, pip, custom_nodes and models;
//   - comfy-cli: comfy-build.yaml (comfy-build/1) and the distribution
//     definition in it;
//   - cog: cog.yaml, with custom_nodes.json beside it as in cog-comfyui;
//   - ViewComfy: view_comfy.json;
//   - Comfy Deploy: the nodes ComfyUIDeployExternal… and ComfyDeployOutput…;
//   - ComfyUI's app mode: extra.linearData in an editor save.
//
// It is pure: files beside the one that is read come through Options.Beside.
// Everything read is from strangers: sizes are bounded, names are checked, and
// nothing is run.
package from
