package keyring

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestSeal(t *testing.T) {
	sealer := testSealer(t)
	plain := []byte("a private key")
	sealed := sealer.Seal("one", plain)
	if got, err := sealer.Open("one", sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open returned %q, %v", got, err)
	}
	if bytes.Contains(sealed, plain) || bytes.Equal(sealed, sealer.Seal("one", plain)) {
		t.Error("it is not encrypted, or the same twice")
	}
	for _, id := range []string{"two", "", "on", "onee"} {
		if _, err := sealer.Open(id, sealed); err == nil {
			t.Errorf("it opens as key %q", id)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if _, err := sealer.Open("one", changed); err == nil {
				t.Errorf("it opens with bit %d of byte %d changed", bit, i)
			}
		}
		if _, err := sealer.Open("one", sealed[:i]); err == nil {
			t.Errorf("its first %d bytes open", i)
		}
	}
	if _, err := sealer.Open("one", append(sealed, 0)); err == nil {
		t.Error("it opens with a byte more")
	}
	other, err := NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("one", sealed); err == nil {
		t.Error("it opens with another key")
	}
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := NewSealer(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is accepted", n)
		}
	}
}

func TestLoadOrCreateKEK(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "kek")
	keks := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keks {
		wg.Go(func() {
			var err error
			if keks[i], err = LoadOrCreateKEK(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, kek := range keks {
		if len(kek) != 32 || !bytes.Equal(kek, keks[0]) {
			t.Fatal("servers that start together got different keys")
		}
	}
	if entries, err := os.ReadDir(directory); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the key alone", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}

	if runtime.GOOS != "windows" {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o601, 0o644} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadOrCreateKEK(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("mode %o: got %v", mode, err)
			}
		}
		for _, mode := range []os.FileMode{0o600, 0o400} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadOrCreateKEK(path); err != nil {
				t.Errorf("mode %o: %v", mode, err)
			}
		}
	}

	for _, content := range []string{"", "\n", "AAAA", strings.Repeat("A", 44), strings.Repeat("A", 88), strings.Repeat("\x00", 32)} {
		bad := filepath.Join(t.TempDir(), "kek")
		if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateKEK(bad); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("content %q: got %v", content, err)
		}
		if after, _ := os.ReadFile(bad); string(after) != content {
			t.Errorf("content %q was replaced", content)
		}
	}
	if _, err := LoadOrCreateKEK(directory); err == nil {
		t.Error("a directory was accepted")
	}
	if _, err := LoadOrCreateKEK(filepath.Join(directory, "absent", "kek")); err == nil {
		t.Error("the directory was created")
	}
}
