package workflow

import (
	"bytes"
	"unicode/utf8"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/jsonpos"
)

// encoding finds where the text starts (after a BOM) and refuses what is not
// UTF-8.
func encoding(file string, src []byte) (int, *diag.Diagnostic) {
	d := diag.Diagnostic{Code: "CW001", Severity: diag.SeverityError}
	d.File = file
	switch {
	case len(bytes.TrimSpace(src)) == 0:
		d.Message, d.Help = "the file is empty", howToExport
		return 0, &d
	case looksUTF16(src):
		d.Message = "this is not JSON: the file is UTF-16"
		d.Help = "save it as UTF-8; in PowerShell use `Set-Content -Encoding utf8` instead of `>`"
		return 0, &d
	case bytes.HasPrefix(src, []byte("version https://git-lfs.github.com/spec/")):
		d.Message, d.Label = "this is not JSON: the file is a pointer of Git LFS", "the workflow itself was not fetched"
		d.Help = "run `git lfs pull` in that repository"
		return 0, &d
	case bytes.HasPrefix(src, []byte("PK\x03\x04")), bytes.HasPrefix(src, []byte("\x1f\x8b")):
		d.Message, d.Help = "this is not JSON: the file is packed", "unpack it and give the workflow in it"
		return 0, &d
	case !utf8.Valid(src):
		at := 0
		for at < len(src) {
			r, n := utf8.DecodeRune(src[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		d.Span = diag.Span{File: file, Start: diag.At(src, at), End: diag.At(src, at+1)}
		d.Message, d.Label, d.Help = "this is not JSON: the file is not UTF-8", "not a UTF-8 byte", "save it as UTF-8"
		return 0, &d
	}
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		return 3, nil
	}
	return 0, nil
}

// looksUTF16 is true for a UTF-16 byte order mark, and without one for a text
// whose first character is ASCII in 16 bits.
func looksUTF16(src []byte) bool {
	if len(src) < 4 {
		return false
	}
	return src[0] == 0xfe && src[1] == 0xff || src[0] == 0xff && src[1] == 0xfe ||
		src[0] == 0 && src[1] != 0 && src[2] == 0 || src[0] != 0 && src[1] == 0 && src[3] == 0
}

func (p *parser) nonFinite(v jsonpos.Value) {
	text := string(p.src[v.Start:v.End])
	p.add(diag.Diagnostic{
		Code: "CW003", Message: "`" + text + "` is not JSON", Label: "ComfyUI writes this; JSON has no such number",
		Help: "replace it with null, or with the number that was meant",
		Fix: &diag.Fix{Title: "replace with null", Safe: true,
			Edits: []diag.Edit{{Start: v.Start, End: v.End, Text: "null"}}},
	}, v.Start, v.End)
}
