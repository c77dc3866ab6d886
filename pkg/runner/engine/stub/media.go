package stub

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/HugoSmits86/nativewebp"
)

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
