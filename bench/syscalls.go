package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// syscalls counts those that SQLite makes and nothing else in the server does.
type syscalls map[string]int

var counted = []string{"fcntl", "pread64", "pwrite64", "fdatasync", "fsync"}

// locks is how often a lock of the database was taken or let go.
func (c syscalls) locks() int { return c["fcntl"] }

func (c syscalls) syncs() int { return c["fdatasync"] + c["fsync"] }

func (c syscalls) String() string {
	return fmt.Sprintf("%d locks, %d reads, %d writes, %d syncs", c.locks(), c["pread64"], c["pwrite64"], c.syncs())
}

func hasStrace() bool {
	_, err := exec.LookPath("strace")
	return err == nil
}

// count runs fn and counts the server's system calls meanwhile, and in the
// moment after it in which the last audit records are written.
func (s *server) count(ctx context.Context, file string, fn func() error) (_ syscalls, err error) {
	command := exec.CommandContext(ctx, "strace", "-f", "-q", "-c", "-o", file,
		"-e", "trace="+strings.Join(counted, ","), "-p", strconv.Itoa(s.command.Process.Pid))
	if err := command.Start(); err != nil {
		return nil, err
	}
	if err := s.awaitTracer(ctx); err != nil {
		_ = command.Process.Kill()
		return nil, errors.Join(err, command.Wait())
	}
	failure := fn()
	failure = errors.Join(failure, sleep(ctx, 500*time.Millisecond))
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		return nil, err
	}
	// strace ends itself with the signal once it has written its counts.
	_ = command.Wait()
	if failure != nil {
		return nil, failure
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return readCounts(string(data)), nil
}

// awaitTracer waits until strace has attached to every thread.
func (s *server) awaitTracer(ctx context.Context) error {
	tasks := fmt.Sprintf("/proc/%d/task", s.command.Process.Pid)
	for range 50 {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		threads, err := os.ReadDir(tasks)
		if err != nil {
			return err
		}
		attached := 0
		for _, thread := range threads {
			status, err := os.ReadFile(tasks + "/" + thread.Name() + "/status")
			if err == nil && !strings.Contains(string(status), "TracerPid:\t0\n") {
				attached++
			}
		}
		if attached == len(threads) {
			return nil
		}
	}
	return errors.New("strace could not attach to the platform")
}

// readCounts reads lines such as "99.00    0.001    2    512           fcntl",
// with a number of errors before the name where there were some.
func readCounts(table string) syscalls {
	c := make(syscalls)
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		name := fields[len(fields)-1]
		if n, err := strconv.Atoi(fields[3]); err == nil {
			c[name] = n
		}
	}
	return c
}
