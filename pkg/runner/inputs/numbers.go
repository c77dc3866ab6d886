package inputs

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// number reads a JSON number, or for seeds a decimal string, exactly.
func number(raw json.RawMessage, text bool) (*big.Rat, bool) {
	s := string(bytes.TrimSpace(raw))
	if len(s) > 0 && s[0] == '"' && (!text || json.Unmarshal(raw, &s) != nil) {
		return nil, false
	}
	var n json.Number
	if json.Unmarshal([]byte(s), &n) != nil || len(s) > 64 {
		return nil, false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if exp, err := strconv.Atoi(s[i+1:]); err != nil || exp > 300 || exp < -300 {
			return nil, false // a Rat would spell the exponent out
		}
	}
	return new(big.Rat).SetString(n.String())
}

func (b *binder) integer(in contract.Input, raw json.RawMessage) (json.RawMessage, bool) {
	n, ok := number(raw, in.Type == contract.TypeSeed)
	if !ok || !n.IsInt() {
		b.fail(in, "wrong_type", "takes a whole number", nil, "")
		return nil, false
	}
	if !b.inRange(in, n) {
		return nil, false
	}
	return json.RawMessage(n.Num().String()), true
}

func (b *binder) float(in contract.Input, raw json.RawMessage) (json.RawMessage, bool) {
	n, ok := number(raw, false)
	if !ok {
		b.fail(in, "wrong_type", "takes a number", nil, "")
		return nil, false
	}
	if !b.inRange(in, n) {
		return nil, false
	}
	return bytes.TrimSpace(raw), true
}

func (b *binder) inRange(in contract.Input, n *big.Rat) bool {
	low, high := limit(in.Min), limit(in.Max)
	if in.Type == contract.TypeSeed {
		if low == nil {
			low = new(big.Rat)
		}
		if high == nil {
			high = new(big.Rat).SetUint64(1<<64 - 1)
		}
	}
	allowed := map[string]any{}
	if low != nil {
		allowed["min"] = json.Number(plain(low))
	}
	if high != nil {
		allowed["max"] = json.Number(plain(high))
	}
	switch {
	case low != nil && n.Cmp(low) < 0:
		b.fail(in, "out_of_range", fmt.Sprintf("is %s, the minimum is %s", plain(n), plain(low)), allowed, "")
	case high != nil && n.Cmp(high) > 0:
		b.fail(in, "out_of_range", fmt.Sprintf("is %s, the maximum is %s", plain(n), plain(high)), allowed, "")
	default:
		return true
	}
	return false
}

func limit(n json.Number) *big.Rat {
	if n == "" {
		return nil
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return nil
	}
	return r
}

func plain(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// drawSeed draws below 2^53, so that JavaScript can send it again, and within
// the input's range.
func drawSeed(in contract.Input) json.RawMessage {
	low, high := new(big.Int), big.NewInt(contract.MaxSafeSeed)
	if r := limit(in.Min); r != nil && r.IsInt() {
		low.Set(r.Num())
	}
	if r := limit(in.Max); r != nil && r.IsInt() && r.Num().Cmp(high) < 0 {
		high.Set(r.Num())
	}
	span := new(big.Int).Add(new(big.Int).Sub(high, low), big.NewInt(1))
	if span.Sign() <= 0 {
		return json.RawMessage(low.String())
	}
	n, err := rand.Int(rand.Reader, span)
	if err != nil {
		panic("reading random numbers: " + err.Error()) // the system's source never fails
	}
	return json.RawMessage(n.Add(n, low).String())
}
