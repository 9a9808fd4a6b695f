//go:build !linux || (!amd64 && !arm64) || noopenssl

package openssl

import "testing"

func TestWithoutOpenSSL(t *testing.T) {
	if _, err := New(); err == nil {
		t.Error("New returned no error")
	}
	if _, err := Choose("openssl"); err == nil {
		t.Error("openssl was promised")
	}
	if e, err := Choose("auto"); err != nil || e.Name() != "go" {
		t.Errorf("auto is %v, %v", e, err)
	}
}
