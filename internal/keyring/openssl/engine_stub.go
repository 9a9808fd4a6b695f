//go:build !linux || (!amd64 && !arm64) || noopenssl

package openssl

import (
	"crypto"
	"crypto/rsa"
	"errors"
)

// Engine cannot be had in this build.
type Engine struct{}

// New returns an error.
func New() (*Engine, error) {
	return nil, errors.New("openssl: this binary was built without it")
}

// Name returns "openssl".
func (*Engine) Name() string { return "openssl" }

// Signer returns an error.
func (*Engine) Signer(*rsa.PrivateKey) (crypto.Signer, error) {
	_, err := New()
	return nil, err
}
