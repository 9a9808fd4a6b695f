//go:build !linux

package store

import (
	"testing"

	"github.com/avouch/avouch/internal/fixture"
)

func smallDisk(t *testing.T) string {
	fixture.Missing(t, "needs Linux, to mount a small file system")
	return ""
}
