package cli

// embeddedRunner reports whether this build holds comfy-runner.
func embeddedRunner() bool { return false }
