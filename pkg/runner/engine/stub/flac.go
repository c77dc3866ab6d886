package stub

import (
	"crypto/md5" //nolint:gosec // the format asks for it
	"encoding/binary"
	"math"
	"math/bits"
)

// bitWriter packs numbers of any width, most significant bit first.
type bitWriter struct {
	b    []byte
	free int // in the last byte
}

func (w *bitWriter) put(v uint64, n int) {
	for n > 0 {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		take := min(n, w.free)
		part := byte(v >> (n - take) & (1<<take - 1))
		w.b[len(w.b)-1] |= part << (w.free - take)
		w.free -= take
		n -= take
	}
}

// align fills the last byte with zeros.
func (w *bitWriter) align() { w.free = 0 }

// ue puts an unsigned Exp-Golomb number.
func (w *bitWriter) ue(v uint) {
	n := bits.Len(v + 1)
	w.put(0, n-1)
	w.put(uint64(v+1), n)
}

// stop ends a unit of H.264: a one, then zeros to the whole byte.
func (w *bitWriter) stop() {
	w.put(1, 1)
	w.align()
}

const flacBlock = 4096

// encodeFLAC writes a sound with 16 bits a sample. Blocks that do not change
// take a few bytes, the others are stored as they are.
func encodeFLAC(a *audio) []byte {
	pcm := make([][]int16, max(1, len(a.channels)))
	for i, ch := range a.channels {
		pcm[i] = make([]int16, len(ch))
		for k, v := range ch {
			pcm[i][k] = int16(math.Round(float64(max(-1, min(1, v)) * 32767)))
		}
	}
	length := len(pcm[0])
	sum := md5.New() //nolint:gosec // the format asks for it
	for k := range length {
		for _, ch := range pcm {
			sum.Write(binary.LittleEndian.AppendUint16(nil, uint16(ch[k])))
		}
	}
	var w bitWriter
	w.put(0x664C6143, 32) // fLaC
	w.put(1, 1)           // the last metadata block
	w.put(0, 7)           // STREAMINFO
	w.put(34, 24)
	w.put(flacBlock, 16)
	w.put(flacBlock, 16)
	w.put(0, 24) // frame sizes are not known
	w.put(0, 24)
	w.put(uint64(a.rate), 20)
	w.put(uint64(len(pcm)-1), 3)
	w.put(15, 5)
	w.put(uint64(length), 36)
	out := append(w.b, sum.Sum(nil)...)
	for n, at := 0, 0; at < length; n, at = n+1, at+flacBlock {
		out = append(out, flacFrame(pcm, n, at, min(flacBlock, length-at))...)
	}
	return out
}

func flacFrame(pcm [][]int16, n, at, size int) []byte {
	var w bitWriter
	w.put(0x3ffe, 14)
	w.put(0, 2)
	w.put(7, 4) // the block size follows in 16 bits
	w.put(0, 4) // the rate is that of STREAMINFO
	w.put(uint64(len(pcm)-1), 4)
	w.put(4, 3) // 16 bits a sample
	w.put(0, 1)
	w.b = append(w.b, flacNumber(n)...)
	w.put(uint64(size-1), 16)
	w.put(uint64(crc(w.b, 8, 0x07)), 8)
	for _, ch := range pcm {
		block := ch[at : at+size]
		same := true
		for _, v := range block {
			same = same && v == block[0]
		}
		if same {
			w.put(0, 8) // constant
			w.put(uint64(uint16(block[0])), 16)
			continue
		}
		w.put(2, 8) // verbatim
		for _, v := range block {
			w.put(uint64(uint16(v)), 16)
		}
	}
	w.put(uint64(crc(w.b, 16, 0x8005)), 16)
	return w.b
}

// flacNumber is a frame number in the way of UTF-8, up to 31 bits.
func flacNumber(n int) []byte {
	if n < 0x80 {
		return []byte{byte(n)}
	}
	var tail []byte
	for n >= 1<<(6-len(tail)) {
		tail = append([]byte{0x80 | byte(n&0x3f)}, tail...)
		n >>= 6
	}
	return append([]byte{byte(0xff<<(7-len(tail))) | byte(n)}, tail...)
}

func crc(b []byte, width int, poly uint32) uint32 {
	var sum uint32
	top := uint32(1) << (width - 1)
	for _, c := range b {
		sum ^= uint32(c) << (width - 8)
		for range 8 {
			if sum&top != 0 {
				sum = sum<<1 ^ poly
			} else {
				sum <<= 1
			}
		}
	}
	return sum & (top<<1 - 1)
}

// decodeWAV reads 16-bit PCM.
func decodeWAV(b []byte) (*audio, bool) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, false
	}
	var rate, channels int
	for b = b[12:]; len(b) >= 8; {
		kind, size := string(b[:4]), int(binary.LittleEndian.Uint32(b[4:]))
		b = b[8:]
		size = min(size, len(b))
		switch {
		case kind == "fmt " && size >= 16:
			if binary.LittleEndian.Uint16(b) != 1 || binary.LittleEndian.Uint16(b[14:]) != 16 {
				return nil, false
			}
			channels, rate = int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint32(b[4:]))
		case kind == "data" && channels > 0 && channels <= 8:
			n := size / 2 / channels
			a := &audio{rate: rate, channels: make([][]float32, channels)}
			for c := range a.channels {
				a.channels[c] = make([]float32, n)
				for i := range n {
					a.channels[c][i] = float32(int16(binary.LittleEndian.Uint16(b[2*(i*channels+c):]))) / 32768
				}
			}
			return a, rate > 0
		}
		b = b[min(len(b), size+size%2):]
	}
	return nil, false
}
