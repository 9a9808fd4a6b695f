//go:build !race

package tokenapi_test

// rounds is how often something is taken away and given back.
const rounds = 50
