package diag

import (
	"path"
	"slices"
	"strings"
	"unicode"
)

// Suggest finds the candidate that somebody who wrote got most likely meant,
// or "". Names are compared in lower case without punctuation: first by
// spelling (optimal string alignment distance up to a third of the length),
// then by a common beginning, then by the words that they are made of.
func Suggest(got string, candidates []string) string {
	g := plain(got)
	if g == "" {
		return ""
	}
	plains := make([]string, len(candidates))
	for i, c := range candidates {
		plains[i] = plain(c)
	}
	if i := slices.Index(plains, g); i >= 0 {
		return candidates[i]
	}
	if i := slices.Index(plains, otherNames[g]); i >= 0 {
		return candidates[i]
	}
	if i := nearest(g, plains); i >= 0 {
		return candidates[i]
	}
	if i := sameStart(g, plains); i >= 0 {
		return candidates[i]
	}
	return sameWords(got, candidates)
}

// otherNames are what other programs call a sampler, in plain form.
var otherNames = map[string]string{
	"eulera": "eulerancestral", "dpm2a": "dpm2ancestral", "dpmpp2sa": "dpmpp2sancestral", "plms": "ipndm",
}

// plain reduces a name to its letters and digits in lower case; + counts as p,
// as in dpm++ and dpmpp.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '+':
			return 'p'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// nearest is the index of the candidate with the smallest distance that is
// small enough; of several the one that begins alike, then the one of a more
// like length.
func nearest(g string, plains []string) int {
	limit := max(1, len(g)/3)
	best, bestDistance, bestStart, bestLength := -1, limit+1, 0, 0
	for i, p := range plains {
		d := distance(g, p, min(limit, bestDistance))
		if d > limit || d > bestDistance {
			continue
		}
		start, length := commonStart(g, p), max(len(g)-len(p), len(p)-len(g))
		if d < bestDistance || start > bestStart || start == bestStart && length < bestLength {
			best, bestDistance, bestStart, bestLength = i, d, start, length
		}
	}
	return best
}

func commonStart(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// sameStart is the longest candidate that g begins with, else the only one
// that begins with g.
func sameStart(g string, plains []string) int {
	longest, only, several := -1, -1, false
	for i, p := range plains {
		if len(g) < 3 || len(p) < 3 {
			continue
		}
		if strings.HasPrefix(g, p) && (longest < 0 || len(p) > len(plains[longest])) {
			longest = i
		}
		if strings.HasPrefix(p, g) {
			several = several || only >= 0
			only = i
		}
	}
	switch {
	case longest >= 0:
		return longest
	case several:
		return -1
	}
	return only
}

// sameWords is the candidate that shares most of its words with got, in any
// order: LoadCheckpoint and CheckpointLoaderSimple. Two that share as much are
// no guess.
func sameWords(got string, candidates []string) string {
	want := words(got)
	best, bestScore, tie := "", 0.0, false
	for _, c := range candidates {
		have := words(c)
		shared, total := 0, 0
		for _, w := range want {
			total += len(w)
			if slices.ContainsFunc(have, func(h string) bool { return alike(w, h) }) {
				shared += 2 * len(w)
			}
		}
		for _, h := range have {
			total += len(h)
		}
		if total == 0 {
			continue
		}
		switch score := float64(shared) / float64(total); {
		case score > bestScore:
			best, bestScore, tie = c, score, false
		case score == bestScore:
			tie = true
		}
	}
	if bestScore < 0.6 || tie {
		return ""
	}
	return best
}

// alike compares words: equal, or one the beginning of the other.
func alike(a, b string) bool {
	return a == b || len(a) >= 4 && strings.HasPrefix(b, a) || len(b) >= 4 && strings.HasPrefix(a, b)
}

// words splits a name at punctuation, at a change to upper case and between
// letters and digits.
func words(s string) []string {
	var list []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			list = append(list, strings.ToLower(string(word)))
		}
		word = nil
	}
	last := rune(0)
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
		case unicode.IsUpper(r) && unicode.IsLower(last), unicode.IsDigit(r) != unicode.IsDigit(last) && len(word) > 0:
			end()
			word = append(word, r)
		default:
			word = append(word, r)
		}
		last = r
	}
	end()
	return list
}

// SuggestFile is Suggest for model files, as folder/name: the same name in
// another folder, the same with another extension, then names that are spelt
// alike or differ in a precision only.
func SuggestFile(got string, candidates []string) string {
	got = strings.ReplaceAll(got, `\`, "/")
	for _, same := range []func(string) string{path.Base, func(p string) string { return stem(path.Base(p)) }, bare} {
		for _, c := range candidates {
			if s := same(got); s != "" && strings.EqualFold(s, same(strings.ReplaceAll(c, `\`, "/"))) {
				return c
			}
		}
	}
	here, _, _ := strings.Cut(got, "/")
	var names, of []string
	for _, c := range candidates {
		if folder, _, _ := strings.Cut(c, "/"); folder == here {
			names, of = append(names, stem(path.Base(c))), append(of, c)
		}
	}
	if best := Suggest(stem(path.Base(got)), names); best != "" {
		return of[slices.Index(names, best)]
	}
	return ""
}

// stem is a name without the extension of a model file.
func stem(name string) string {
	if ext := path.Ext(name); len(ext) > 2 && len(ext) <= 12 && !strings.ContainsAny(ext, "0123456789") {
		return strings.TrimSuffix(name, ext)
	}
	return name
}

// variants are words in a file's name that say how it is stored, not what it is.
var variants = []string{"fp", "bf", "e", "m", "fn", "f", "q", "k", "s", "scaled", "pruned", "emaonly", "ema", "only", "nonema", "full", "half", "16", "32", "8", "4", "5", "fp16", "fp8", "bf16"}

// bare is a stem without such words, "" where nothing else is left.
func bare(name string) string {
	list := slices.DeleteFunc(words(stem(path.Base(name))), func(w string) bool { return slices.Contains(variants, w) })
	return strings.Join(list, "")
}

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
		least := i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
