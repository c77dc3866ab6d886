package stub

import (
	"encoding/binary"
	"math"
)

// encodeMP4 writes pictures as H.264 in MP4, the index first so that a player
// can start at once. It gives nil when stop says so.
func encodeMP4(p *picture, fps float64, stop func() bool) []byte {
	if len(p.frames) == 0 || p.w < 1 || p.h < 1 {
		panic(raise("ValueError", "a video needs at least one picture"))
	}
	w, h := p.w, p.h
	if w%2 == 1 || h%2 == 1 {
		w, h = w+w%2, h+h%2 // half-size colours: sides are even
	}
	e := &h264{w: (w + 15) / 16, h: (h + 15) / 16}
	var samples [][]byte
	var keys []uint32
	total := 0
	for i := range p.frames {
		if stop() {
			return nil
		}
		nal, key := e.frame(toYUV(p, i, e.w, e.h))
		if key {
			keys = append(keys, uint32(i+1))
		}
		sample := append(binary.BigEndian.AppendUint32(nil, uint32(len(nal))), nal...)
		if total += len(sample); total > maxValues {
			panic(raise("RuntimeError", "the video is larger than the stub engine writes without compression"))
		}
		samples = append(samples, sample)
	}
	m := &movie{w: w, h: h, scale: 90000, step: uint32(max(1, math.Round(90000/fps))), samples: samples, keys: keys,
		sps: e.sequence(w, h), pps: e.pictureSet()}
	head := box("ftyp", []byte("isom"), u32(0x200), []byte("isomiso2avc1mp41"))
	// The place of the data depends on the size of the index, not on its content.
	at := len(head) + len(m.box(0)) + 8
	out := append(head, m.box(uint32(at))...)
	out = append(out, u32(uint32(total+8))...)
	out = append(out, "mdat"...)
	for _, s := range samples {
		out = append(out, s...)
	}
	return out
}

// movie is the index of a file with one track.
type movie struct {
	w, h        int
	scale, step uint32 // ticks a second and a picture
	samples     [][]byte
	keys        []uint32
	sps, pps    []byte
}

// unity is the transformation that changes nothing.
var unity = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)

func (m *movie) box(at uint32) []byte {
	length := m.step * uint32(len(m.samples))
	mvhd := box("mvhd", u32(0, 0, 0, m.scale, length, 0x10000), u16(0x100, 0), u32(0, 0), unity, make([]byte, 24), u32(2))
	tkhd := box("tkhd", u32(3, 0, 0, 1, 0, length, 0, 0), u16(0, 0, 0, 0), unity, u32(uint32(m.w)<<16, uint32(m.h)<<16))
	mdhd := box("mdhd", u32(0, 0, 0, m.scale, length), u16(0x55c4, 0))
	hdlr := box("hdlr", u32(0, 0), []byte("vide"), make([]byte, 12), []byte("VideoHandler\x00"))
	dinf := box("dinf", box("dref", u32(0, 1), box("url ", u32(1))))
	minf := box("minf", box("vmhd", u32(1), make([]byte, 8)), dinf, m.table(at))
	return box("moov", mvhd, box("trak", tkhd, box("mdia", mdhd, hdlr, minf)))
}

// table says where each picture lies, how long it is and how long it shows.
func (m *movie) table(at uint32) []byte {
	avcC := box("avcC", []byte{1, m.sps[1], m.sps[2], m.sps[3], 0xff, 0xe1}, u16(uint16(len(m.sps))), m.sps,
		[]byte{1}, u16(uint16(len(m.pps))), m.pps)
	avc1 := box("avc1", make([]byte, 6), u16(1), make([]byte, 16), u16(uint16(m.w), uint16(m.h)),
		u32(0x480000, 0x480000, 0), u16(1), make([]byte, 32), u16(24, 0xffff), avcC)
	n := uint32(len(m.samples))
	sizes := u32(0, 0, n)
	for _, s := range m.samples {
		sizes = append(sizes, u32(uint32(len(s)))...)
	}
	return box("stbl", box("stsd", u32(0, 1), avc1), box("stts", u32(0, 1, n, m.step)),
		box("stss", u32(0, uint32(len(m.keys))), u32(m.keys...)), box("stsc", u32(0, 1, 1, n, 1)),
		box("stsz", sizes), box("stco", u32(0, 1, at)))
}
