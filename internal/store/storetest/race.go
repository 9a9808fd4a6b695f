//go:build race

package storetest

// The race detector makes an engine in Go twenty times slower.
const propertyCases = 6
