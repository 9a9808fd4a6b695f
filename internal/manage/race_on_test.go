//go:build race

package manage_test

// propertyRuns is smaller under the race detector, where the database, being
// written in Go, is ten times slower.
const propertyRuns = "8"
