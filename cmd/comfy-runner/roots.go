package main

// An image made from scratch has no certificate authorities of its own, and a
// workflow's inputs may be https URLs. These are used only where the system
// has none.
import _ "golang.org/x/crypto/x509roots/fallback"
