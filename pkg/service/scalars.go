package service

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is written 30s, 5m, 2h or 7d.
type Duration struct {
	time.Duration
	Set bool
}

// Size is written 10MB or 16GB; a unit of 1000, with i of 1024.
type Size struct {
	Bytes int64
	Set   bool
}

// Rate is written 10/min: so many in a period (s, min, h, day, month).
type Rate struct {
	Count  int
	Period time.Duration
	Set    bool
}

// Share is written 5% or 0.05.
type Share struct {
	Fraction float64
	Set      bool
}

// Money is written $20, in US dollars.
type Money struct {
	Dollars float64
	Set     bool
}

// scalar is a value with a spelling of its own. parse gives a label for the
// caret where the spelling is wrong.
type scalar interface{ parse(s string) error }

var durationForm = regexp.MustCompile(`^(\d+(?:\.\d+)?)(ms|s|m|h|d)((?:\d+(?:ms|s|m|h))*)$`)

func (d *Duration) parse(s string) error {
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return fmt.Errorf("%s what? write %ss or %sm", s, s, s)
	}
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("not a duration; write 30s, 5m or 2h")
	}
	rest := s
	var days time.Duration
	if m[2] == "d" {
		n, _ := strconv.ParseFloat(m[1], 64)
		days, rest = time.Duration(n*24*float64(time.Hour)), m[3]
	}
	d.Duration = days
	if rest != "" {
		v, err := time.ParseDuration(rest)
		if err != nil {
			return fmt.Errorf("not a duration; write 30s, 5m or 2h")
		}
		d.Duration += v
	}
	d.Set = true
	return nil
}

// ParseDuration reads a duration as a service file writes it, such as 30d.
func ParseDuration(s string) (time.Duration, error) {
	var d Duration
	err := d.parse(s)
	return d.Duration, err
}

// ParseSize reads a number of bytes as a service file writes it, such as 100GB.
func ParseSize(s string) (int64, error) {
	var z Size
	err := z.parse(s)
	return z.Bytes, err
}

var sizeForm = regexp.MustCompile(`^(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B$`)

func (z *Size) parse(s string) error {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return fmt.Errorf("%s what? write %sMB or %sGB", s, s, s)
		}
		return fmt.Errorf("not a size; write 10MB or 16GB")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return fmt.Errorf("not a size; write 10MB or 16GB")
	}
	base := 1000.0
	if strings.HasSuffix(m[2], "i") {
		base = 1024
	}
	for i := strings.IndexAny("KMGT", strings.ToUpper(m[2])); m[2] != "" && i >= 0; i-- {
		n *= base
	}
	if n > 1<<60 {
		return fmt.Errorf("larger than any disk")
	}
	z.Bytes, z.Set = int64(n), true
	return nil
}

var rateForm = regexp.MustCompile(`^(\d+)/(s|sec|min|h|hour|d|day|month)$`)

func (r *Rate) parse(s string) error {
	m := rateForm.FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("not a rate; write 10/min or 1000/month")
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return fmt.Errorf("not a rate; write 10/min or 1000/month")
	}
	r.Count, r.Set = n, true
	switch m[2][0] {
	case 's':
		r.Period = time.Second
	case 'h':
		r.Period = time.Hour
	case 'd':
		r.Period = 24 * time.Hour
	default:
		r.Period = time.Minute
		if m[2] == "month" {
			r.Period = 30 * 24 * time.Hour
		}
	}
	return nil
}

func (p *Share) parse(s string) error {
	text, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(text, 64)
	if percent {
		n /= 100
	}
	if err != nil || n < 0 || n > 1 {
		return fmt.Errorf("not a share; write 5%%")
	}
	p.Fraction, p.Set = n, true
	return nil
}

func (m *Money) parse(s string) error {
	n, err := strconv.ParseFloat(strings.TrimPrefix(s, "$"), 64)
	if err != nil || n < 0 {
		return fmt.Errorf("not an amount of money; write $20")
	}
	m.Dollars, m.Set = n, true
	return nil
}

// checks of strings, by name in the `check` tag.
var forms = map[string]struct {
	re   *regexp.Regexp
	want string
}{
	"requires":  {regexp.MustCompile(`^>=\s*v?\d+(\.\d+){0,2}$`), "the oldest comfyctl that may read the file, such as >=0.4"},
	"input":     {regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`), "a name: letters, digits, _ and -, a letter first"},
	"slug":      {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`), "a name: letters, digits, _ and -"},
	"variable":  {regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), "the name of a variable: letters, digits and _"},
	"version":   {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`), "a version, such as 1.4.0"},
	"label":     {regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`), "a DNS label: lower-case letters, digits and -, at most 63, a letter first"},
	"sha256":    {regexp.MustCompile(`^[0-9a-f]{64}$`), "64 lower-case hexadecimal digits"},
	"secret":    {regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), "the name of a secret: letters, digits and _"},
	"modelpath": {regexp.MustCompile(`^[^/\\\x00][^\\\x00]*/[^/\\\x00]+$`), "a folder and a file under ComfyUI/models/, such as checkpoints/x.safetensors"},
}
