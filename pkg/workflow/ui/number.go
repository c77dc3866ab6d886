package ui

import (
	"strconv"
	"strings"
)

// number writes a number as JavaScript does; digits is how the file wrote it.
func number(x float64, digits string) string {
	if !strings.ContainsAny(digits, ".eE") {
		return digits
	}
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if strings.Contains(s, "e") && x < 1e21 && x > -1e21 && (x >= 1e-6 || x <= -1e-6) {
		s = strconv.FormatFloat(x, 'f', -1, 64)
	}
	return s
}
