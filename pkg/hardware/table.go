package hardware

// nv is a row of NVIDIA's cards.
func nv(name string, mib int64, cc Compute, aliases ...string) GPU {
	return GPU{Name: name, Vendor: NVIDIA, MemoryMiB: mib, Compute: cc, Aliases: aliases}
}

// sheet marks a row whose memory is the data sheet's.
func sheet(g GPU) GPU { g.Nominal = true; return g }

func amd(name string, gib int64, arch string, aliases ...string) GPU {
	return GPU{Name: name, Vendor: AMD, MemoryMiB: gib << 10, Arch: arch, Aliases: aliases, Nominal: true}
}

// gpus is the table. Cards of one name with different memory are rows of their
// own, the smaller first. The driver reports less than the box says where
// error correction is on (L4, A10, L40S, T4).
var gpus = []GPU{
	// Data centre.
	nv("T4", 15360, 75, "g4dn"),
	nv("L4", 23034, 89, "g6"),
	nv("A10", 23028, 86),
	nv("A10G", 23028, 86, "g5"),
	sheet(nv("A2", 16384, 86)),
	sheet(nv("A16", 16384, 86)),
	sheet(nv("A30", 24576, 80)),
	nv("A40", 46068, 86),
	nv("L40", 46068, 89),
	nv("L40S", 46068, 89, "g6e"),
	nv("L20", 46068, 89),
	nv("A100", 40960, 80, "a100-40", "a2-highgpu"),
	nv("A100", 81920, 80, "a100-80", "a2-ultragpu"),
	nv("H100", 81559, 90, "h100-80"),
	nv("H100 NVL", 95830, 90, "h100-94", "h100"),
	nv("H200", 143771, 90, "h200-141", "h200nvl"),
	nv("GH200", 97871, 90),
	nv("B200", 183359, 100, "gb200"),
	nv("B300", 275040, 103, "gb300"),
	sheet(nv("V100", 16384, 70, "v100-16")),
	sheet(nv("V100", 32768, 70, "v100-32", "v100s")),
	sheet(nv("P100", 16384, 60)),
	sheet(nv("P40", 24576, 61)),
	sheet(nv("P4", 8192, 61)),
	sheet(nv("M60", 8192, 52)),
	sheet(nv("K80", 12288, 37)),

	// Workstation.
	nv("RTX PRO 6000", 97887, 120, "pro6000", "g7e", "rtx6000pro", "rtx6000blackwell", "rtxpro6000bse"),
	sheet(nv("RTX PRO 5000", 49152, 120, "pro5000")),
	sheet(nv("RTX PRO 4500", 32768, 120, "pro4500")),
	sheet(nv("RTX PRO 4000", 24576, 120, "pro4000")),
	nv("RTX 6000 Ada", 49140, 89, "6000ada", "ada6000", "rtx6000adageneration"),
	sheet(nv("RTX 5000 Ada", 32768, 89, "5000ada")),
	sheet(nv("RTX 4500 Ada", 24576, 89, "4500ada")),
	sheet(nv("RTX 4000 Ada", 20480, 89, "4000ada", "rtx4000sffada")),
	sheet(nv("RTX 2000 Ada", 16384, 89, "2000ada")),
	nv("RTX A6000", 49140, 86, "a6000"),
	nv("RTX A5000", 24564, 86, "a5000"),
	sheet(nv("RTX A4500", 20480, 86, "a4500")),
	nv("RTX A4000", 16376, 86, "a4000"),
	sheet(nv("Quadro RTX 8000", 49152, 75, "rtx8000")),
	sheet(nv("Quadro RTX 6000", 24576, 75, "rtx6000")),

	// Desktop.
	nv("RTX 5090", 32607, 120),
	nv("RTX 5080", 16303, 120),
	nv("RTX 5070 Ti", 16303, 120),
	nv("RTX 5070", 12227, 120),
	sheet(nv("RTX 5060 Ti", 8192, 120)),
	sheet(nv("RTX 5060 Ti", 16384, 120)),
	sheet(nv("RTX 5060", 8192, 120)),
	nv("RTX 4090", 24564, 89),
	nv("RTX 4080", 16376, 89, "4080super"),
	nv("RTX 4070 Ti SUPER", 16376, 89, "4070tis"),
	nv("RTX 4070 Ti", 12282, 89),
	nv("RTX 4070", 12282, 89, "4070super"),
	sheet(nv("RTX 4060 Ti", 8192, 89)),
	sheet(nv("RTX 4060 Ti", 16384, 89)),
	sheet(nv("RTX 4060", 8192, 89)),
	nv("RTX 3090 Ti", 24564, 86),
	nv("RTX 3090", 24576, 86),
	nv("RTX 3080 Ti", 12288, 86),
	nv("RTX 3080", 10240, 86),
	nv("RTX 3080", 12288, 86, "3080-12"),
	sheet(nv("RTX 3070 Ti", 8192, 86)),
	nv("RTX 3070", 8192, 86),
	sheet(nv("RTX 3060 Ti", 8192, 86)),
	sheet(nv("RTX 3060", 8192, 86)),
	nv("RTX 3060", 12288, 86, "3060-12"),
	sheet(nv("TITAN RTX", 24576, 75)),
	sheet(nv("RTX 2080 Ti", 11264, 75)),
	sheet(nv("RTX 2080", 8192, 75, "2080super")),
	sheet(nv("RTX 2070", 8192, 75, "2070super")),
	sheet(nv("RTX 2060", 6144, 75)),
	sheet(nv("GTX 1660", 6144, 75, "1660ti", "1660super")),
	sheet(nv("TITAN V", 12288, 70)),
	sheet(nv("GTX 1080 Ti", 11264, 61)),
	sheet(nv("GTX 1080", 8192, 61)),
	sheet(nv("GTX 1070", 8192, 61, "1070ti")),
	sheet(nv("GTX 1060", 6144, 61)),

	// AMD; torch has ROCm builds for these.
	amd("MI210", 64, "gfx90a"),
	amd("MI250", 64, "gfx90a", "mi250x"), // two devices of 64 GB a card
	amd("MI300X", 192, "gfx942", "mi300"),
	amd("MI325X", 256, "gfx942"),
	amd("MI355X", 288, "gfx950"),
	amd("RX 7900 XTX", 24, "gfx1100", "7900xtx"),
	amd("RX 7900 XT", 20, "gfx1100", "7900xt"),
	amd("RX 9070 XT", 16, "gfx1201", "9070xt"),
	amd("PRO W7900", 48, "gfx1100", "w7900"),
}
