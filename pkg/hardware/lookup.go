package hardware

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/internal/diag"
)

// GPUs is a copy of the table.
func GPUs() []GPU { return slices.Clone(gpus) }

// Lookup finds the card of a name, however it is spelled: `4090`, `rtx-4090`,
// `NVIDIA GeForce RTX 4090`, `A100-SXM4-80GB`. Where cards of one name differ
// in memory and the name does not say which, it is the smallest.
func Lookup(name string) (GPU, bool) {
	list := Find(name)
	if len(list) == 0 {
		return GPU{}, false
	}
	return list[0], true
}

// Find lists every card that a name may mean, the smallest memory first.
func Find(name string) []GPU {
	key, gib := plain(name)
	if key == "" {
		return nil
	}
	var list []GPU
	for _, g := range gpus {
		if slices.Contains(keys(g), key) {
			list = append(list, g)
		}
	}
	slices.SortStableFunc(list, func(a, b GPU) int { return int(a.MemoryMiB - b.MemoryMiB) })
	if gib == 0 || len(list) == 0 {
		return list
	}
	var exact []GPU
	for _, g := range list {
		if near(g, gib) {
			exact = append(exact, g)
		}
	}
	return exact
}

// near reports whether a card is the one of gib, as people round: the H100
// NVL has 94 GB on the box and 93.6 GiB by the driver.
func near(g GPU, gib int64) bool {
	have := float64(g.MemoryMiB) / 1024
	return have > float64(gib)*0.9 && have < float64(gib)*1.04
}

// Suggest is the name of a card that somebody who wrote an unknown name most
// likely meant, or "".
func Suggest(name string) string {
	want, _ := plain(name)
	var candidates []string
	of := map[string]string{}
	for _, g := range gpus {
		for _, k := range keys(g) {
			if of[k] == "" {
				of[k] = g.Name
				candidates = append(candidates, k)
			}
		}
	}
	if g := of[want]; g != "" {
		return g // a known card with another memory
	}
	return of[diag.Suggest(want, candidates)]
}

// keys are the plain forms of a card's names.
func keys(g GPU) []string {
	var list []string
	for _, n := range append([]string{g.Name}, g.Aliases...) {
		k := squeeze(n)
		list = append(list, k)
		for _, brand := range []string{"rtx", "gtx", "rx", "quadro"} {
			if short, ok := strings.CutPrefix(k, brand); ok {
				list = append(list, short)
			}
		}
	}
	return list
}

var (
	vendorWords = regexp.MustCompile(`^(nvidia|amd|tesla|geforce|instinct|radeon)+`)
	// formWords say how a card is built, not which it is.
	formWords  = regexp.MustCompile(`\b(blackwell|server[ _-]?edition|workstation[ _-]?edition|max-?q|laptop|gpu|generation|sxm[2-6]?|pcie|hbm[23]e?|oam|ac)\b`)
	memoryMark = regexp.MustCompile(`^(.*[^0-9])([0-9]{1,3}) ?(gb|gib|g)?$`)
)

// plain reduces a name to letters and digits without the words that never
// tell cards apart; gib is the memory in it, or 0.
func plain(name string) (key string, gib int64) {
	s := strings.ToLower(strings.TrimSpace(strings.ReplaceAll(name, "_", " ")))
	s = strings.Trim(formWords.ReplaceAllString(s, ""), " -")
	m := memoryMark.FindStringSubmatch(s)
	if m == nil || !known(squeeze(m[1])) || m[3] == "" && known(squeeze(s)) {
		return squeeze(s), 0
	}
	gib, _ = strconv.ParseInt(m[2], 10, 64) // three digits at most
	return squeeze(m[1]), gib
}

func known(key string) bool {
	return slices.ContainsFunc(gpus, func(g GPU) bool { return slices.Contains(keys(g), key) })
}

func squeeze(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	return vendorWords.ReplaceAllString(s, "")
}
