package hardware

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// build is one line of the matrix: the wheels of torch with a CUDA tag, from
// one release to another, hold code for the compute capabilities low to high.
// A GPU runs code made for a lower minor number of the same major, so high is
// the last major's end.
type build struct {
	tag         string
	first, last int // torch's minor, of 2.x; last 0: still made
	low, high   Compute
}

// builds is read from the matrix that torch publishes for Linux x86-64.
var builds = []build{
	{"cu118", 0, 7, 50, 90},
	{"cu121", 1, 5, 50, 90},
	{"cu124", 4, 6, 50, 90},
	{"cu126", 6, 0, 50, 90},
	{"cu128", 7, 7, 75, 129},
	{"cu128", 8, 10, 70, 129},
	{"cu128", 11, 11, 75, 129},
	{"cu129", 8, 8, 70, 129},
	{"cu130", 9, 0, 75, 129},
	{"cu132", 12, 0, 75, 129},
}

// Verdict is the answer of Runs.
type Verdict struct {
	// Known is false where the tag or the release is not in the table; OK is
	// then true, since nothing speaks against it.
	Known, OK bool
	// Why is one clause, lower case, empty where it is OK.
	Why string
	// Use is a tag that suits the card, or "".
	Use string
}

var cudaTag = regexp.MustCompile(`^cu([0-9]{3})$`)

// Runs says whether a build of torch runs on the card. tag is what build.torch
// holds (cu128, rocm6.4, cpu, system; empty is left out), torch a release such
// as 2.9.1, or empty where any that has the tag will do.
func Runs(g GPU, tag, torch string) Verdict {
	v := judge(g, tag, torch)
	if !v.OK {
		v.Use = BuildFor(g)
	}
	return v
}

func judge(g GPU, tag, torch string) Verdict {
	switch {
	case tag == "" || tag == "system":
		return Verdict{OK: true}
	case tag == "cpu" || tag == "xpu":
		return Verdict{Known: true, Why: "torch " + tag + " computes on no " + g.Name}
	case strings.HasPrefix(tag, "rocm") && g.Vendor == AMD:
		return Verdict{OK: true}
	case strings.HasPrefix(tag, "rocm") != (g.Vendor == AMD):
		return Verdict{Known: true, Why: "torch " + tag + " is for cards of another maker than " + g.Name}
	}
	m := cudaTag.FindStringSubmatch(tag)
	if m == nil {
		return Verdict{OK: true}
	}
	minor, given := minorOf(torch)
	low, high, known := Compute(0), Compute(0), false
	for _, b := range builds {
		if b.tag != tag || given && (minor < b.first || b.last != 0 && minor > b.last) {
			continue
		}
		if !known || b.low < low {
			low = b.low
		}
		high, known = max(high, b.high), true
	}
	if known && g.Compute >= low && g.Compute/10 <= high/10 {
		return Verdict{Known: true, OK: true}
	}
	if known {
		return Verdict{Known: true, Why: misfit(g, tag, low, high)}
	}
	return byCUDA(g, m[1])
}

func misfit(g GPU, tag string, low, high Compute) string {
	if g.Compute < low {
		return fmt.Sprintf("torch %s has code from compute capability %s on, and %s has %s", tag, low, g.Name, g.Compute)
	}
	first, _ := g.CUDA()
	return fmt.Sprintf("torch %s has code up to compute capability %s, and %s has %s: CUDA %s or newer is needed", tag, high, g.Name, g.Compute, cudaText(first))
}

// byCUDA judges a tag that is not in the matrix by what CUDA itself supports.
func byCUDA(g GPU, digits string) Verdict {
	cuda, _ := strconv.Atoi(digits)
	first, last := g.CUDA()
	switch {
	case cuda < first:
		return Verdict{Known: true, Why: fmt.Sprintf("%s has compute capability %s, and CUDA knows it from %s on", g.Name, g.Compute, cudaText(first))}
	case last != 0 && cuda > last:
		return Verdict{Known: true, Why: fmt.Sprintf("%s has compute capability %s, and CUDA %s was the last to know it", g.Name, g.Compute, cudaText(last))}
	}
	return Verdict{OK: true}
}

func cudaText(n int) string { return fmt.Sprintf("%d.%d", n/10, n%10) }

var release = regexp.MustCompile(`^2\.([0-9]+)`)

// minorOf reads the minor number of a torch release 2.x.
func minorOf(torch string) (int, bool) {
	m := release.FindStringSubmatch(torch)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil
}

// BuildFor is a tag whose builds of torch run on every one of the cards: cu128
// for what is common, cu126 for what is older, rocm for AMD's; "" where no one
// build suits them all.
func BuildFor(cards ...GPU) string {
	amd, nvidia := 0, 0
	for _, g := range cards {
		if g.Vendor == AMD {
			amd++
		} else {
			nvidia++
		}
	}
	if amd > 0 {
		if nvidia > 0 {
			return ""
		}
		return "rocm6.4"
	}
	for _, tag := range []string{"cu128", "cu126", "cu118"} {
		fits := true
		for _, g := range cards {
			// Without the release of torch, old cards are safe with the older tag only.
			fits = fits && judge(g, tag, "").OK && (tag != "cu128" || g.Compute >= 75)
		}
		if fits {
			return tag
		}
	}
	return ""
}
