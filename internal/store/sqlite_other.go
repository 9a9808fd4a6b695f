//go:build !unix

package store

// lockFile relies on SQLite's own locks where there is no flock.
func lockFile(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}

// syncDir does nothing: these systems cannot sync a directory and make names
// durable with the file.
func syncDir(string) error { return nil }
