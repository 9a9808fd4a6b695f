//go:build !race

package manage_test

const (
	propertyRuns = "25"
	largeTenant  = 500 // applications
)
