package hardware

import (
	"fmt"
	"slices"
)

// Vendor is who makes a card.
type Vendor string

// The vendors.
const (
	NVIDIA Vendor = "nvidia"
	AMD    Vendor = "amd"
)

// GPU is one kind of graphics card.
type GPU struct {
	// Name is the one that people write, such as L40S or RTX 4090.
	Name string
	// Aliases are other spellings; case, spaces, dashes and the words nvidia,
	// tesla and geforce never matter.
	Aliases []string
	Vendor  Vendor
	// MemoryMiB is the memory that the driver reports, in MiB. Nominal marks a
	// figure from the data sheet, where no driver's report was at hand.
	MemoryMiB int64
	Nominal   bool
	// Compute is NVIDIA's compute capability; 0 for AMD, where Arch is set.
	Compute Compute
	// Arch is AMD's name of the instruction set, such as gfx942.
	Arch string
}

// Compute is a compute capability times ten: 89 stands for 8.9.
type Compute int

// String is the usual form, such as 8.9.
func (c Compute) String() string { return fmt.Sprintf("%d.%d", c/10, c%10) }

// Bytes is the card's memory in bytes.
func (g GPU) Bytes() int64 { return g.MemoryMiB << 20 }

// String is the name with the memory as it is sold: L4 (24GB).
func (g GPU) String() string { return fmt.Sprintf("%s (%dGB)", g.Name, g.Sold()) }

// Sold is the memory as on the box: GiB that are called GB. Where the driver
// keeps a part for error correction, the rest counted in 10^9 is near it.
func (g GPU) Sold() int64 {
	gib := float64(g.MemoryMiB) / 1024
	for _, s := range sold {
		if d := gib/float64(s) - 1; d > -0.01 && d < 0.01 {
			return s
		}
	}
	return g.Bytes() / 1e9
}

var sold = []int64{6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 96, 141, 180, 192, 256, 288}

// DType is a number format of weights.
type DType string

// The formats. FP4 is NVIDIA's nvfp4; GGUF's integer formats are unpacked
// before use on every card and are not among them.
const (
	FP32 DType = "fp32"
	FP16 DType = "fp16"
	BF16 DType = "bf16"
	FP8  DType = "fp8"
	FP4  DType = "fp4"
	INT8 DType = "int8"
)

// least is the compute capability from which a format is computed at full
// speed: bf16 from Ampere, fp8 from Ada, fp4 from Blackwell.
var least = map[DType]Compute{FP32: 30, FP16: 70, BF16: 80, FP8: 89, FP4: 100, INT8: 75}

// Native reports whether the card computes in a format at full speed. ComfyUI
// takes files of any format: what is not native is converted to 16 or 32 bits
// before use, which costs time and not the memory of the stored weights.
func (g GPU) Native(d DType) bool {
	if g.Vendor == AMD {
		return d == FP32 || d == FP16 || d == BF16 || d == INT8 || d == FP8 && slices.Contains(amdFP8, g.Arch)
	}
	if d == FP16 && g.Compute == 60 {
		return true // the P100, alone of its generation
	}
	from, ok := least[d]
	return ok && g.Compute >= from
}

// NativeTypes lists the formats that the card computes at full speed.
func (g GPU) NativeTypes() []DType {
	var list []DType
	for _, d := range []DType{FP32, FP16, BF16, FP8, FP4, INT8} {
		if g.Native(d) {
			list = append(list, d)
		}
	}
	return list
}

// amdFP8 are the architectures with fp8 matrix cores.
var amdFP8 = []string{"gfx942", "gfx950", "gfx1201"}

// CUDA is the range of CUDA releases, as 128 for 12.8, whose compiler makes
// code for the card: 13.0 left out what is older than 7.5, 12.8 brought 10.0
// and 12.0. last is 0 where none left it out yet; both are 0 for AMD.
func (g GPU) CUDA() (first, last int) {
	switch c := g.Compute; {
	case c == 0:
		return 0, 0
	case c >= 121 || c >= 103 && c < 110:
		return 129, 0
	case c >= 100:
		return 128, 0
	case c >= 89:
		return 118, 0
	case c >= 86:
		return 111, 0
	case c >= 80:
		return 110, 0
	case c >= 75:
		return 100, 0
	case c >= 70:
		return 90, 129
	case c >= 60:
		return 80, 129
	case c >= 50:
		return 65, 129
	}
	return 0, 114 // Kepler
}

// MinTorch is the first release of torch whose wheels hold code for the card.
func (g GPU) MinTorch() string {
	switch c := g.Compute; {
	case g.Vendor == AMD:
		return ""
	case c >= 100:
		return "2.7"
	case c >= 90:
		return "2.0"
	}
	return "1.8"
}
