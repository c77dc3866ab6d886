package stub

import (
	"bytes"
	"crypto/md5" //nolint:gosec // FLAC's checksum of the samples is MD5
	"encoding/binary"
	"errors"
	"image/jpeg"

	"github.com/HugoSmits86/nativewebp"
)

// flac encodes silence: a STREAMINFO block and frames of constant subframes.
// Format: RFC 9639.
func flac(rate, channels, samples int) []byte {
	const block = 4096
	out := append([]byte("fLaC"), 0x80, 0, 0, 34) // STREAMINFO, the last metadata block
	out = binary.BigEndian.AppendUint16(out, block)
	out = binary.BigEndian.AppendUint16(out, block)
	out = append(out, make([]byte, 6)...) // frame sizes: unknown
	out = binary.BigEndian.AppendUint64(out, uint64(rate)<<44|uint64(channels-1)<<41|15<<36|uint64(samples))
	sum := md5.Sum(make([]byte, samples*channels*2)) //nolint:gosec // see above
	out = append(out, sum[:]...)
	for n := 0; n*block < samples; n++ {
		size := min(block, samples-n*block)
		f := []byte{0xff, 0xf8, 7 << 4, byte(channels-1)<<4 | 4<<1} // 16-bit block size follows, rate as in STREAMINFO, 16 bit samples
		f = append(f, utf8Number(n)...)
		f = binary.BigEndian.AppendUint16(f, uint16(size-1))
		f = append(f, crc8(f))
		for range channels {
			f = append(f, 0, 0, 0) // subframe: constant, value 0
		}
		out = append(out, binary.BigEndian.AppendUint16(f, crc16(f))...)
	}
	return out
}

// utf8Number is FLAC's frame number: UTF-8's way of writing a number.
func utf8Number(n int) []byte {
	switch {
	case n < 0x80:
		return []byte{byte(n)}
	case n < 0x800:
		return []byte{0xc0 | byte(n>>6), 0x80 | byte(n&63)}
	}
	return []byte{0xe0 | byte(n>>12), 0x80 | byte(n>>6&63), 0x80 | byte(n&63)}
}

func crc8(b []byte) byte {
	var c byte
	for _, v := range b {
		c ^= v
		for range 8 {
			if c&0x80 != 0 {
				c = c<<1 ^ 0x07
			} else {
				c <<= 1
			}
		}
	}
	return c
}

func crc16(b []byte) uint16 {
	var c uint16
	for _, v := range b {
		c ^= uint16(v) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x8005
			} else {
				c <<= 1
			}
		}
	}
	return c
}

// box is one box of an MP4 file: size, type, content. Format: ISO/IEC 14496-12.
func box(typ string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
	return append(append(out, typ...), body...)
}

func u32(vs ...uint32) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func u16(vs ...uint16) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// mp4 writes frames as JPEG samples of one video track.
func mp4(p *picture, fps float64) ([]byte, error) {
	var samples [][]byte
	for i := range p.frames {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, p.image(i), &jpeg.Options{Quality: 90}); err != nil {
			return nil, err
		}
		samples = append(samples, b.Bytes())
	}
	const scale = 90000
	step := uint32(float64(scale) / max(fps, 0.1))
	n, length := uint32(len(samples)), uint32(len(samples))*step
	w, h := uint32(p.w), uint32(p.h)
	matrix := u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
	ftyp := box("ftyp", []byte("isom"), u32(0x200), []byte("isommp41"))
	sizes := u32(0, 0, n)
	data := []byte{}
	for _, s := range samples {
		sizes = append(sizes, u32(uint32(len(s)))...)
		data = append(data, s...)
	}
	entry := box("jpeg", make([]byte, 6), u16(1), make([]byte, 16), u16(uint16(w), uint16(h)), u32(0x480000, 0x480000, 0), u16(1), make([]byte, 32), u16(24, 0xffff))
	movie := func(offset uint32) []byte {
		stbl := box("stbl", box("stsd", u32(0, 1), entry), box("stts", u32(0, 1, n, step)), box("stsc", u32(0, 1, 1, n, 1)), box("stsz", sizes), box("stco", u32(0, 1, offset)))
		dinf := box("dinf", box("dref", u32(0, 1), box("url ", u32(1))))
		minf := box("minf", box("vmhd", u32(1, 0, 0)), dinf, stbl)
		mdia := box("mdia", box("mdhd", u32(0, 0, 0, scale, length), u16(0x55c4, 0)), box("hdlr", u32(0, 0), []byte("vide"), u32(0, 0, 0), []byte{0}), minf)
		tkhd := box("tkhd", u32(3, 0, 0, 1, 0, length, 0, 0), u16(0, 0, 0, 0), matrix, u32(w<<16, h<<16))
		mvhd := box("mvhd", u32(0, 0, 0, scale, length, 0x10000), u16(0x100, 0), u32(0, 0), matrix, u32(0, 0, 0, 0, 0, 0, 2))
		return box("moov", mvhd, box("trak", tkhd, mdia))
	}
	at := uint32(len(ftyp) + len(movie(0)) + 8)
	return bytes.Join([][]byte{ftyp, movie(at), box("mdat", data)}, nil), nil
}

// animatedWebP wraps lossless frames in an animation. Format: RFC 9649.
func animatedWebP(p *picture, fps float64) ([]byte, error) {
	riff := func(typ string, body []byte) []byte {
		out := append([]byte(typ), binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
		out = append(out, body...)
		if len(body)%2 == 1 {
			out = append(out, 0)
		}
		return out
	}
	u24 := func(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16)} }
	size := append(u24(p.w-1), u24(p.h-1)...)
	body := append([]byte("WEBP"), riff("VP8X", append([]byte{0x12, 0, 0, 0}, size...))...) // animation, alpha
	body = append(body, riff("ANIM", make([]byte, 6))...)
	for i := range p.frames {
		var b bytes.Buffer
		if err := nativewebp.Encode(&b, p.image(i), nil); err != nil {
			return nil, err
		}
		at := bytes.Index(b.Bytes(), []byte("VP8L"))
		if at < 0 {
			return nil, errors.New("the encoder gave no lossless frame")
		}
		frame := append(append(make([]byte, 6), size...), u24(clamp(int(1000/max(fps, 0.01)), 1, 1<<24-1))...)
		frame = append(append(frame, 2), b.Bytes()[at:]...) // drawn over nothing, kept
		body = append(body, riff("ANMF", frame)...)
	}
	return riff("RIFF", body), nil
}
