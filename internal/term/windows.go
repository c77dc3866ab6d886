package term

import "runtime"

// windows has no locale variables; its terminals draw UTF-8.
const windows = runtime.GOOS == "windows"
