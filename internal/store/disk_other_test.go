//go:build !linux

package store

import "testing"

func smallDisk(t *testing.T) string {
	t.Skip("needs Linux, to mount a small file system")
	return ""
}
