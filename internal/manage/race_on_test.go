//go:build race

package manage_test

// Both are smaller under the race detector, where the database, being written in
// Go, is ten times slower.
const (
	propertyRuns = "8"
	largeTenant  = 50 // applications
)
