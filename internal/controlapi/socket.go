package controlapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// longestSocketPath is the least that any supported system allows.
const longestSocketPath = 100

// withSocketPath calls fn with a path for the socket in dir that fits into a
// socket address. A path that is too long is reached through the directory's
// descriptor where the system has /proc.
func withSocketPath[T any](dir string, fn func(path string) (T, error)) (T, error) {
	var none T
	path := filepath.Join(dir, socketFile)
	if len(path) <= longestSocketPath {
		return fn(path)
	}
	f, err := os.Open(dir)
	if err != nil {
		return none, err
	}
	defer func() { _ = f.Close() }()
	short := "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) + "/" + socketFile
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		return none, fmt.Errorf("the path %s is too long for a socket; name a shorter directory with --dir", path)
	}
	return fn(short)
}

// listen opens the socket for the present user alone. The caller holds the
// directory's lock, so a socket that is there already is a dead platform's.
func listen(dir string) (net.Listener, error) {
	return withSocketPath(dir, func(path string) (net.Listener, error) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			return nil, err
		}
		// Removal is ours: the path may be one through a descriptor.
		if unix, ok := l.(*net.UnixListener); ok {
			unix.SetUnlinkOnClose(false)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		return &sameUserListener{Listener: l}, nil
	})
}

// dial connects to the platform of a data directory.
func dial(dir string) (net.Conn, error) {
	conn, err := withSocketPath(dir, func(path string) (net.Conn, error) { return net.Dial("unix", path) })
	if err != nil {
		return nil, &dialError{dir, err}
	}
	// The platform turns other users away; and nobody's assertion should be
	// given to a stranger who has put a socket in its place.
	if uid, err := peerUser(conn); err != nil || uid != os.Getuid() {
		return nil, &dialError{dir, errors.Join(fs.ErrPermission, err, conn.Close())}
	}
	return conn, nil
}

// dialError says why no platform was reached, and the likely fix.
type dialError struct {
	dir string
	err error
}

func (e *dialError) Error() string {
	switch {
	case errors.Is(e.err, fs.ErrPermission):
		return fmt.Sprintf("the platform on %s belongs to another user, and only its own user may talk to it (permission denied); run the command as that user, or name another directory with --dir", e.dir)
	case errors.Is(e.err, fs.ErrNotExist), errors.Is(e.err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no platform is running on %s; start one with 'avouch dev', or name its directory with --dir", e.dir)
	}
	return fmt.Sprintf("no platform is reached on %s (%v); start one with 'avouch dev', or name its directory with --dir", e.dir, rootCause(e.err))
}

func (e *dialError) Unwrap() error { return e.err }

func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// sameUserListener closes connections of other users. The socket's mode keeps
// them out already; this holds also for a socket that was handed on.
type sameUserListener struct{ net.Listener }

func (l *sameUserListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUser(conn)
		if err == nil && uid == os.Getuid() {
			return conn, nil
		}
		_ = conn.Close()
	}
}
