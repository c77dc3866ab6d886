package diag

import "strings"

// Suggest finds the candidate that somebody who wrote got most likely meant,
// or "". Names are compared in lower case without "_", "-" and spaces: by
// optimal string alignment distance up to a third of the length, else by a
// common beginning.
func Suggest(got string, candidates []string) string {
	g := plain(got)
	if g == "" {
		return ""
	}
	best, bestAt := "", len(g)+1
	limit := max(1, len(g)/3)
	for _, c := range candidates {
		if d := distance(g, plain(c), limit); d <= limit && d < bestAt {
			best, bestAt = c, d
		}
	}
	if best != "" {
		return best
	}
	for _, c := range candidates {
		p := plain(c)
		if len(g) >= 3 && len(p) >= 3 && (strings.HasPrefix(p, g) || strings.HasPrefix(g, p)) {
			if best != "" {
				return "" // two would fit: no guess
			}
			best = c
		}
	}
	return best
}

var plainer = strings.NewReplacer("_", "", "-", "", " ", "")

func plain(s string) string { return plainer.Replace(strings.ToLower(s)) }

// distance is the optimal string alignment distance of a and b, or limit+1
// where it is larger than limit.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > limit || len(y)-len(x) > limit {
		return limit + 1
	}
	before := make([]int, len(y)+1)
	last := make([]int, len(y)+1)
	row := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
