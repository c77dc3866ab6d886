package python

import (
	"fmt"
	"strings"
	"testing"
)

func TestInt(t *testing.T) {
	for in, want := range map[string]string{
		"16": "16", " 12 ": "12", "1\u00a0": "1", "\u0663": "3", "𝟙𝟚": "12", "-3": "-3", "+4": "4", "1_000": "1000", "00": "0", strings.Repeat("9", 4300): strings.Repeat("9", 4300),
		"": "", " ": "", "1__0": "", "_1": "", "1_": "", "1-2": "", "+-1": "", "0x10": "", "1.5": "", "1e3": "", "--1": "", "-_1": "", "½": "", "1" + strings.Repeat("0", 4300): "",
	} {
		got := ""
		if n, ok := Int(in); ok {
			got = n.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestFloat(t *testing.T) {
	for in, want := range map[string]string{
		"1.5": "1.5", " .5 ": "0.5", "5.": "5", "1e3": "1000", "1_0.5": "10.5", "nan": "NaN", "+NaN": "NaN", "-inf": "-Inf", "Infinity": "+Inf", "1e999": "+Inf", "٣.٥": "3.5",
		"": "", "0x1p3": "", "1__0": "", "1_.5": "", "--inf": "", "x": "", "1,5": "", "e3": "",
	} {
		got := ""
		if f, ok := Float(in); ok {
			got = fmt.Sprint(f)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzFloat(f *testing.F) {
	f.Add("1_0.5")
	f.Fuzz(func(_ *testing.T, s string) {
		Int(s)
		Float(s)
	})
}
