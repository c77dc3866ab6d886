package hardware

import (
	"fmt"
	"math"
	"strconv"
)

// GB writes bytes in units of 10^9, as `gpu:` takes them: 24GB, 6.9GB.
func GB(n int64) string {
	switch g := float64(n) / 1e9; {
	case g >= 10:
		return fmt.Sprintf("%.0fGB", g)
	case g >= 0.095:
		return fmt.Sprintf("%.1fGB", g)
	}
	return fmt.Sprintf("%.0fMB", float64(n)/1e6)
}

// rungs are the memory sizes in GB that cards have.
var rungs = []int64{4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 80, 96, 141, 180}

// Rung is the smallest common size of a card that holds n bytes, such as
// 24GB; more than any card has comes back as it is.
func Rung(n int64) string {
	for _, r := range rungs {
		if n <= r*1e9 {
			return fmt.Sprintf("%dGB", r)
		}
	}
	return GB(n)
}

func parseFloat(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
