package store

import (
	"os"
	"syscall"
	"testing"

	"github.com/avouch/avouch/internal/fixture"
)

// smallDisk returns a directory on a file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		fixture.Missing(t, "needs root, to mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		fixture.Missing(t, "mounting a small file system: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			_ = syscall.Unmount(dir, syscall.MNT_FORCE|2) // MNT_DETACH
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}
