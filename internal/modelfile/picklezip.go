package modelfile

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

const (
	maxEntries = 1 << 20
	// maxPickle bounds what data.pkl may unpack to: it holds shapes and names.
	maxPickle = 1 << 30
)

// parts are the files that torch puts beside data.pkl, under one folder: raw
// numbers and a few words about the format.
var parts = regexp.MustCompile(`^(data/[0-9]+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)$`)

// scanZip reads a file of torch from 1.6 on: a zip archive with a pickle.
func scanZip(r io.ReaderAt, size int64) (map[string]bool, error) {
	// Readers look for the end of an archive in different ways; at the very end
	// there is no doubt.
	const tail = 22
	end := make([]byte, tail)
	if size < tail {
		return nil, badf("its zip archive is cut short")
	}
	if err := readAt(r, end, size-tail); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(end, []byte("PK\x05\x06")) || end[20] != 0 || end[21] != 0 {
		return nil, badf("its zip archive is cut short, or something follows it")
	}
	z, err := zip.NewReader(r, size)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, zip.ErrInsecurePath) {
		return nil, badf("its zip archive cannot be read")
	}
	if err != nil {
		return nil, fmt.Errorf("reading its zip archive: %w", err)
	}
	pickle, err := findPickle(z)
	if err != nil {
		return nil, err
	}
	f, err := pickle.Open()
	if err != nil {
		return nil, badf("its %s cannot be read: %v", pickle.Name, err)
	}
	defer f.Close()
	found := map[string]bool{}
	in := &counter{r: bufio.NewReaderSize(io.LimitReader(f, maxPickle), 64<<10)}
	if err := walk(in, found); err != nil {
		if errors.Is(err, zip.ErrChecksum) {
			return nil, badf("its %s is damaged", pickle.Name)
		}
		return nil, err
	}
	// The checksum is compared at the end of the file.
	switch n, err := io.Copy(io.Discard, in.r); {
	case errors.Is(err, zip.ErrChecksum):
		return nil, badf("its %s is damaged", pickle.Name)
	case err != nil:
		return nil, badf("its %s cannot be read: %v", pickle.Name, err)
	case n > 0:
		return nil, badf("more follows the end of its %s", pickle.Name)
	}
	return found, nil
}

// findPickle is the one pickle of an archive that holds nothing unexpected.
func findPickle(z *zip.Reader) (*zip.File, error) {
	if len(z.File) > maxEntries {
		return nil, badf("its zip archive has %d entries", len(z.File))
	}
	seen := map[string]bool{}
	var pickle *zip.File
	top := ""
	for _, f := range z.File {
		folder, rest, ok := strings.Cut(f.Name, "/")
		switch {
		case seen[strings.ToLower(f.Name)]:
			return nil, badf("its zip archive has %s twice", short(f.Name))
		case f.Flags&1 != 0 || f.Method != zip.Store && f.Method != zip.Deflate:
			return nil, badf("its %s is packed in an unusual way", short(f.Name))
		case !ok || top != "" && folder != top:
			return nil, badf("it holds %s, which is no part of a torch file", short(f.Name))
		case rest == "data.pkl":
			pickle = f
		case strings.HasPrefix(rest, "code/") || rest == "constants.pkl":
			return nil, badf("it holds code (TorchScript)")
		case !parts.MatchString(rest):
			return nil, badf("it holds %s, which is no part of a torch file", short(f.Name))
		}
		seen[strings.ToLower(f.Name)], top = true, folder
	}
	if pickle == nil {
		return nil, badf("its zip archive has no data.pkl")
	}
	return pickle, nil
}

func short(name string) string { return fmt.Sprintf("%.60q", path.Clean(name)) }
