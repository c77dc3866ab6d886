package comfy

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
)

// memoryEvents is where Linux counts what it did to this container for want of
// memory.
const memoryEvents = "/sys/fs/cgroup/memory.events"

// oomKills is how often the kernel killed a process of this container because
// memory ran out; -1 where it does not say.
func oomKills(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		if rest, ok := strings.CutPrefix(sc.Text(), "oom_kill "); ok {
			if n, err := strconv.Atoi(rest); err == nil {
				return n
			}
		}
	}
	return -1
}
