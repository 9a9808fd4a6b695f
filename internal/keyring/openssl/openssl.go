// Package openssl signs with the system's OpenSSL 3, three to four times as fast as
// crypto/rsa. It loads libcrypto.so.3 while running, without a C compiler.
//
// The package is apart from keyring because of what it imports: purego makes a
// binary dynamically linked, which the node agent and the command-line tools
// must not be. The build tag noopenssl leaves it out; then, and on any system
// but Linux on amd64 and arm64, New returns an error.
package openssl

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	_ "embed" // the self-test's key
	"errors"
	"fmt"

	"github.com/avouch/avouch/internal/keyring"
)

// Choose returns the engine of the given kind: "openssl", "go" for crypto/rsa,
// or "auto", which is OpenSSL if it works here and otherwise crypto/rsa. Name
// tells which it became.
func Choose(kind string) (keyring.Engine, error) {
	switch kind {
	case "go":
		return keyring.GoEngine{}, nil
	case "openssl":
		engine, err := New()
		if err != nil {
			return nil, fmt.Errorf("%w; install OpenSSL 3 or choose the signing engine \"go\"", err)
		}
		return engine, nil
	case "auto":
		engine, err := New()
		if err != nil {
			return keyring.GoEngine{}, nil
		}
		return engine, nil
	}
	return nil, fmt.Errorf("signing engine %q is unknown: use auto, openssl or go", kind)
}

// selfTestKey is a key that signs nothing but this package's self-test: PKCS#1
// DER, made once and published here. A key made at every start would cost more
// time than the rest of the start together.
//
//go:embed selftest.der
var selfTestKey []byte

// selfTest compares the engine with crypto/rsa. PKCS#1 v1.5 has no randomness,
// so that the signatures must be equal to the byte.
func selfTest(engine keyring.Engine) error {
	key, err := x509.ParsePKCS1PrivateKey(selfTestKey)
	if err != nil {
		return err
	}
	signer, err := engine.Signer(key)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte("self-test"))
	got, err := signer.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	want, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("its signature is not that of crypto/rsa")
	}
	return nil
}
