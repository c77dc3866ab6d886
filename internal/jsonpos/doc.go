// Package jsonpos reads JSON without losing where things stand: every value and
// every name with its byte range. It takes NaN and the infinities, which
// Python writes, and tells in words what is wrong with a text that is no JSON.
package jsonpos
