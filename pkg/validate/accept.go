package validate

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

// refuse says why an input does not take a value, or "".
func refuse(in *contract.Input, v json.RawMessage) string {
	if len(v) == 0 {
		return ""
	}
	isText := v[0] == '"'
	switch in.Type {
	case contract.TypeInt, contract.TypeSeed, contract.TypeFloat:
		if in.Type == contract.TypeSeed && string(v) == `"random"` {
			return ""
		}
		return refuseNumber(in, v)
	case contract.TypeBool:
		if s := string(v); s != "true" && s != "false" {
			return "is not true or false"
		}
	case contract.TypeEnum:
		if len(in.Enum) > 0 && !contains(in.Enum, v) {
			return "is not one of " + strings.Join(head(in.Enum), ", ")
		}
	case contract.TypeString, contract.TypeText:
		if !isText {
			return "is not a text"
		}
		if in.MaxLength > 0 && utf8.RuneCountInString(text(v)) > in.MaxLength {
			return fmt.Sprintf("is longer than %d characters", in.MaxLength)
		}
	default:
		if !isText {
			return "is not the name of a file"
		}
	}
	return ""
}

func refuseNumber(in *contract.Input, v json.RawMessage) string {
	if v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return "is not a number"
	}
	n, ok := jsonNumber(v)
	if !ok {
		return "is not a number"
	}
	if _, accuracy := n.Int(nil); in.Type != contract.TypeFloat && accuracy != big.Exact {
		return "is not a whole number"
	}
	if lo := bound(in.Min); lo != nil && n.Cmp(lo) < 0 {
		return fmt.Sprintf("is below %s", in.Min)
	}
	if hi := bound(in.Max); hi != nil && n.Cmp(hi) > 0 {
		return fmt.Sprintf("is above %s", in.Max)
	}
	return ""
}

func head(list []json.RawMessage) []string {
	var out []string
	for i, e := range list {
		if i == 8 {
			return append(out, "…")
		}
		out = append(out, string(e))
	}
	return out
}
