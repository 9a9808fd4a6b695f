//go:build race

package tokenapi_test

// The race detector makes a database engine in Go twenty times slower.
const rounds = 5
