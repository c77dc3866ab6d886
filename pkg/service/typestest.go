package service

import (
	"encoding/json"
)

// Test is one case, or a matrix of cases.
type Test struct {
	Name     string    `yaml:"name" check:"required" desc:"of the case, unique"`
	Tags     []string  `yaml:"tags" desc:"for 'test --tag'; smoke is the gate of deploy"`
	Workflow string    `yaml:"workflow" desc:"which of workflows; left out: the only one"`
	Input    Arguments `yaml:"input" desc:"values by input name"`
	Matrix   Matrix    `yaml:"matrix" desc:"auto, or a mapping from an input to values; min, max, default and samples stand for the input's own"`
	Expect   Expect    `yaml:"expect" desc:"what must come of it"`
}

// Matrix asks for a case for each value of each input.
type Matrix struct {
	Auto bool
	Axes []Axis
}

// Axis is one input and its values.
type Axis struct {
	Name   string
	Values []json.RawMessage
}

// Expect is what a case must give.
type Expect struct {
	Status  int            `yaml:"status" check:"min=100,max=599" desc:"HTTP status; left out: a succeeded job"`
	Job     string         `yaml:"job" enum:"succeeded|failed|canceled|expired" desc:"final status"`
	Error   string         `yaml:"error" desc:"code of the error"`
	Within  Duration       `yaml:"within" desc:"from sending to the result"`
	Outputs []ExpectOutput `yaml:"outputs" kind:"named" names:"input" desc:"by output name"`
}

// ExpectOutput is what one output must be.
type ExpectOutput struct {
	Name      string `yaml:"-"`
	Type      string `yaml:"type" desc:"media type, such as image/png"`
	Width     int    `yaml:"width" desc:"pixels"`
	Height    int    `yaml:"height" desc:"pixels"`
	MinWidth  int    `yaml:"min_width" desc:"pixels"`
	MinHeight int    `yaml:"min_height" desc:"pixels"`
	MinSize   Size   `yaml:"min_size" desc:"bytes"`
	Count     int    `yaml:"count" desc:"how many files"`
	Text      string `yaml:"text" desc:"what a text output must be"`
	Like      string `yaml:"like" desc:"a picture that it must resemble"`
}
