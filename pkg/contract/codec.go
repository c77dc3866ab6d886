package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Encode writes the canonical form: two-space JSON, no HTML escaping, a
// newline at the end. Equal contracts give equal bytes.
func (c *Contract) Encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("encoding contract: %w", err)
	}
	return buf.Bytes(), nil
}

// Digest is the SHA-256 of the canonical form, as "sha256:" and 64 hex digits.
func (c *Contract) Digest() (string, error) {
	b, err := c.Encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// Decode reads a contract. Unknown fields are ignored; another schema is an
// error.
func Decode(b []byte) (*Contract, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var c Contract
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("decoding contract: %w", err)
	}
	if c.Schema != Schema {
		return nil, fmt.Errorf("decoding contract: schema is %q, this runner reads %q", c.Schema, Schema)
	}
	return &c, nil
}
