// Package online checks what only the network knows: whether the models'
// sources give the files, whether repositories have the refs, whether what is
// gated lets this account in, whether the named secrets are set. It asks for
// headers and first bytes, never for whole files, and sends a token to the
// host that it is for and to no other.
package online
