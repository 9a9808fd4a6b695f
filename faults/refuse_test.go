//go:build faults && unix

package faults

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/avouch/avouch/internal/fixture"
)

func dev(dir string, args ...string) []string {
	return append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0", "--identity-listen", "127.0.0.1:0"}, args...)
}

func TestSecondPlatformIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	p.applyDemo()
	refused(t, 1, dev(dir), dir, "another platform is running", "--dir")
	p.mustIssueTokens() // the first one is not disturbed, nor is its socket
	p.mustStop()
	start(t, dir).mustStop()
}

func TestListenersAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	refused(t, 1, []string{"dev", "--dir", dir, "--listen", taken.Addr().String(), "--identity-listen", "127.0.0.1:0"}, "address already in use", "--listen")
	refused(t, 1, []string{"dev", "--dir", dir, "--listen", "127.0.0.1:0", "--identity-listen", taken.Addr().String()}, "address already in use", "--identity-listen")
	for _, wide := range []string{"0.0.0.0:0", "[::]:0"} {
		refused(t, 1, []string{"dev", "--dir", dir, "--listen", "127.0.0.1:0", "--identity-listen", wide}, "every address", "127.0.0.1")
	}
	refused(t, 1, []string{"dev", "--dir", dir, "--listen", "127.0.0.1:0", "--identity-listen", "localhost"}, "IP address and a port")
	start(t, dir).mustStop() // nothing that was refused spoilt the directory
}

func TestOtherCloudIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, dir, "--cloud", "china").mustStop()
	refused(t, 1, dev(dir, "--cloud", "usgov"), dir, `"china"`, "--dir")
	refused(t, 2, dev(dir, "--cloud", "mars"), "mars", "global, usgov and china")
	if p := start(t, dir); p.where.Cloud != "china" {
		t.Errorf("the cloud became %q", p.where.Cloud)
	}
}

// A key-encryption key that is gone, damaged, readable by others or another
// one stops the start with a message that helps, and is left as it is.
func TestKeyEncryptionKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	p.applyDemo()
	keys := p.keyIDs()
	p.mustStop()
	path := filepath.Join(dir, "key-encryption.key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	start(t, other).mustStop()
	foreign, err := os.ReadFile(filepath.Join(other, "key-encryption.key"))
	if err != nil {
		t.Fatal(err)
	}
	put := func(data []byte, mode os.FileMode) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if data == nil {
			return
		}
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		data  []byte
		mode  os.FileMode
		words []string
	}{
		{"damaged", []byte("not a key\n"), 0o600, []string{path, "damaged", "backup"}},
		{"cut off", good[:20], 0o600, []string{path, "damaged"}},
		{"readable by others", good, 0o644, []string{path, "chmod 600"}},
		{"of another directory", foreign, 0o600, []string{path, "backup"}},
		{"gone", nil, 0, []string{path, "backup"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			put(tt.data, tt.mode)
			refused(t, 1, dev(dir), tt.words...)
			now, err := os.ReadFile(path)
			switch {
			case tt.data == nil && !os.IsNotExist(err):
				t.Error("a new key-encryption key was made, which opens nothing and hides that the old one is gone")
			case tt.data != nil && string(now) != string(tt.data):
				t.Error("the file was changed")
			}
		})
	}
	put(good, 0o600)
	p = start(t, dir)
	if got := p.keyIDs(); strings.Join(got, " ") != strings.Join(keys, " ") {
		t.Errorf("with the right key back, the keys were %v and are %v", keys, got)
	}
	p.mustIssueTokens()
}

func TestDirectoryIsClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o775); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the data directory has mode %04o", mode)
	}
	for _, name := range []string{"avouch.db", "key-encryption.key", "ca-key.pem", "control.sock"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %04o", name, mode)
		}
	}
}

func TestDirectoryCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, 1, dev(filepath.Join(file, "data")), "data directory", file)
}

// Another user of the machine cannot open the socket, and is turned away when
// it is handed to him.
func TestOtherUsersAreTurnedAway(t *testing.T) {
	if os.Getuid() != 0 {
		fixture.Missing(t, "only root can act as another user")
	}
	const nobody = 65534
	base, err := os.MkdirTemp("", "avouch-faults-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(base, "avouch")
	if err := copyFile(program, binary); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	p := start(t, filepath.Join(base, "data"))
	p.applyDemo()
	asNobody := func() result {
		cmd := exec.CommandContext(t.Context(), program, "env", "--dir", p.dir, "--host", "web-app")
		cmd.Dir, cmd.Env = "/", []string{"HOME=/", "PATH=/usr/bin:/bin"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return finish(t, cmd, "")
	}
	check := func(when string, words ...string) {
		t.Helper()
		r := asNobody()
		if r.status != 1 || strings.Contains(r.out, "IDENTITY_HEADER") {
			t.Fatalf("%s: another user got an answer (status %d):\n%s%s", when, r.status, r.out, r.err)
		}
		for _, word := range words {
			if !strings.Contains(r.err, word) {
				t.Errorf("%s: the message does not say %q:\n%s", when, word, r.err)
			}
		}
	}
	check("behind the directory's mode", "another user", "permission denied")
	if err := os.Chmod(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	check("behind the socket's mode", "another user", "permission denied")
	if err := os.Chmod(p.socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	check("with the socket open to all", "another user")
	if r := command(t, "", "env", "--dir", p.dir, "--host", "web-app"); r.status != 0 || !strings.Contains(r.out, "IDENTITY_HEADER") {
		t.Errorf("the platform's own user is refused: %s", r.err)
	}
}

// A path longer than a socket address holds works for both ends.
func TestLongDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 20), "data")
	p := start(t, dir)
	p.applyDemo()
	p.mustIssueTokens()
	if r := command(t, "", "env", "--dir", dir); r.status != 0 || !strings.Contains(r.out, dir) {
		t.Errorf("status %d: %s", r.status, r.err)
	}
	info, err := os.Stat(p.socket())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
	p.mustEndCleanly(syscall.SIGTERM)
	refused(t, 1, []string{"env", "--dir", dir}, "no platform is running", dir)
}

// A socket that a killed platform left behind is not in the way of the next.
func TestSocketOfADeadPlatform(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	p.kill()
	if _, err := os.Stat(p.socket()); err != nil {
		t.Fatal(err)
	}
	refused(t, 1, []string{"env", "--dir", dir}, "no platform is running", "avouch dev")
	p = start(t, dir)
	p.applyDemo()
	p.mustIssueTokens()
}
