//go:build faults

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/fixture"
)

// smallDisk is a file system of a few megabytes.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	if os.Getuid() != 0 {
		fixture.Missing(t, "only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%dm,mode=0700", megabytes)); err != nil {
		fixture.Missing(t, fmt.Sprintf("a small disk cannot be mounted: %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// fill leaves not one byte free, and returns how to free it again.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	path := filepath.Join(disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		block := make([]byte, size)
		for range 100_000 {
			if _, err = f.Write(block); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk did not fill up: %v", err)
		}
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// sizeable is a directory file that does not fit into the slack of a full
// disk.
func sizeable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("tenants:\n  - name: sizeable\n    applications:\n")
	for i := range 1500 {
		fmt.Fprintf(&b, "      - {name: application-%d, identifierUris: [\"api://application-%d\"]}\n", i, i)
	}
	path := filepath.Join(t.TempDir(), "sizeable.yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Threat R3: a full disk refuses writes with a clear error, tokens go on being
// issued, nothing acknowledged is lost, and writes work again as soon as there
// is space, without a restart.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 12)
	dir := filepath.Join(disk, "data")
	p := start(t, dir)
	p.applyDemo()
	p.mustIssueTokens()
	writers := newWriters(2, seed(t))
	for _, w := range writers {
		if err := w.begin(t.Context(), p.client()); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := w.write(t.Context(), p.client()); err != nil {
				t.Fatal(err)
			}
		}
	}
	big := sizeable(t)

	free := fill(t, disk)
	refused(t, 1, []string{"apply", "--dir", dir, "-f", big}, "disk is full", "nothing was changed", "free some space")
	if r := command(t, "", "env", "--dir", dir, "--host", "web-app"); r.status != 0 {
		t.Errorf("reading fails on a full disk: %s", r.err)
	}
	writeUntilFull(t, p, writers)
	issueForAWhile(t, p, time.Second)
	refused(t, 1, []string{"apply", "--dir", dir, "-f", big}, "disk is full")
	for _, w := range writers {
		w.refuse(t)
		w.matches(t, p.client())
	}
	if r := command(t, "", "log", "--dir", dir, "--only", "changes"); r.status != 0 {
		t.Errorf("the log cannot be read on a full disk: %s", r.err)
	}

	free()
	for _, w := range writers {
		for range 5 {
			if err := w.write(t.Context(), p.client()); err != nil {
				t.Fatalf("with space again, a change fails: %v", err)
			}
		}
		w.matches(t, p.client())
	}
	if r := command(t, "", "apply", "--dir", dir, "-f", big); r.status != 0 {
		t.Errorf("with space again, the sizeable change fails: %s", r.err)
	}
	p.mustIssueTokens()
	p.mustStop()
	found := examine(t, dir)
	for _, w := range writers {
		w.settle(t, found)
	}
}

// A platform that is killed while its disk is full says so when it cannot
// start, and has lost nothing once there is space.
func TestKillOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 12)
	dir := filepath.Join(disk, "data")
	p := start(t, dir)
	p.applyDemo()
	keys := p.keyIDs()
	writers := newWriters(2, seed(t))
	for _, w := range writers {
		if err := w.begin(t.Context(), p.client()); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := w.write(t.Context(), p.client()); err != nil {
				t.Fatal(err)
			}
		}
	}
	free := fill(t, disk)
	writeUntilFull(t, p, writers)
	p.mustIssueTokens()
	p.kill()

	p = launch(t, dir)
	if p.awaitReady() {
		t.Log("a platform starts on a full disk")
		p.mustIssueTokens()
		for _, w := range writers {
			w.refuse(t)
			w.matches(t, p.client())
		}
		if status, _ := p.stop(syscall.SIGTERM); status != 0 {
			t.Errorf("on a full disk the platform ended with status %d:\n%s", status, p.log)
		}
	} else {
		t.Logf("a platform does not start on a full disk: %s", p.log)
		if status := p.awaitEnd(); status != 1 || !strings.Contains(p.log.String(), "disk is full") {
			t.Errorf("the start on a full disk ended with status %d, and does not say why:\n%s", status, p.log)
		}
	}

	free()
	found := examine(t, dir)
	for _, w := range writers {
		w.settle(t, found)
	}
	p = start(t, dir)
	if got := p.keyIDs(); strings.Join(got, " ") != strings.Join(keys, " ") {
		t.Errorf("the keys were %v and are %v", keys, got)
	}
	p.mustIssueTokens()
	for _, w := range writers {
		w.matches(t, p.client())
		if err := w.write(t.Context(), p.client()); err != nil {
			t.Error(err)
		}
	}
}

// A first start on a disk that is too small says what is wrong, and succeeds
// once there is space.
func TestFirstStartOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 2)
	dir := filepath.Join(disk, "data")
	free := fill(t, disk)
	p := launch(t, dir)
	if status := p.awaitEnd(); status != 1 || !strings.Contains(p.log.String(), "no space left") && !strings.Contains(p.log.String(), "disk is full") {
		t.Errorf("the start on a full disk ended with status %d, and does not say why:\n%s", status, p.log)
	}
	free()
	p = start(t, dir)
	p.applyDemo()
	p.mustIssueTokens()
}

// writeUntilFull lets each writer write what still fits into the slack that
// the file system and the log have left.
func writeUntilFull(t *testing.T, p *server, writers []*writer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	for _, w := range writers {
		var err error
		for range 5000 {
			if err = w.write(ctx, p.client()); err != nil {
				break
			}
		}
		if err == nil {
			t.Fatal("changes go on being made on a full disk")
		}
		if !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("the error on a full disk does not say so: %v", err)
		}
		t.Logf("%s: %d changes acknowledged until the disk was full", w.tenant, w.writes)
	}
}

// refuse notes that the change under way was refused: nothing was changed, the
// error said.
func (w *writer) refuse(t *testing.T) {
	t.Helper()
	w.pending = nil
}

func issueForAWhile(t *testing.T, p *server, while time.Duration) {
	t.Helper()
	sets := 0
	for end := time.Now().Add(while); time.Now().Before(end); sets++ {
		if err := p.tokens(t.Context()); err != nil {
			t.Fatalf("on a full disk tokens are not issued: %v\n%s", err, p.log)
		}
	}
	t.Logf("on a full disk, %d times two tokens of an application were issued", sets)
}
