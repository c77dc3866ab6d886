// Package lock freezes what the outside world may change: from a checked plan
// it makes the list of everything that enters an image, each by commit or
// SHA-256 and with the reason for the choice. Make needs the network and
// decides; Check compares a lock with a plan and needs none.
package lock
