package pack

import "strings"

// pipSources are the settings of pip that decide what it finds, pipWays those
// that decide how it gets there. Others, such as folders of this machine, have
// no meaning where the environment is built.
var (
	pipSources = map[string]bool{"PIP_INDEX_URL": true, "PIP_EXTRA_INDEX_URL": true, "PIP_FIND_LINKS": true, "PIP_NO_INDEX": true, "PIP_PRE": true}
	pipWays    = map[string]bool{"PIP_TRUSTED_HOST": true, "PIP_PROXY": true, "PIP_DEFAULT_TIMEOUT": true, "PIP_TIMEOUT": true, "PIP_RETRIES": true}
)

// pipSettings picks what is passed on to the build.
func pipSettings(all map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range all {
		local := name == "PIP_FIND_LINKS" && !strings.Contains(value, "://")
		if value != "" && !local && (pipSources[name] || pipWays[name]) {
			out[name] = value
		}
	}
	return out
}

// pipKeys picks what belongs to the key of an environment.
func pipKeys(all map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range all {
		if !pipWays[name] {
			out[name] = value
		}
	}
	return out
}
