// Package archtest holds the tests of the rules that concern the whole
// repository: who may import whom, and what a binary may link.
package archtest
