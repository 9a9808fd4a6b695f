package keyring

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec: key IDs are SHA-1 thumbprints on the wire; nothing rests on it
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"time"
)

// Engine turns a private key into something that signs.
type Engine interface {
	// Name returns one word for logs and measurements.
	Name() string

	// Signer returns a signer for PKCS#1 v1.5 with SHA-256, safe for concurrent
	// use. The signer keeps its own copy of the key or shares key, which the
	// caller must not change. What the signer holds is released once it is
	// unreachable.
	Signer(key *rsa.PrivateKey) (crypto.Signer, error)
}

// GoEngine signs with crypto/rsa. It needs nothing installed.
type GoEngine struct{}

// Name returns "go".
func (GoEngine) Name() string { return "go" }

// Signer returns key itself, after checking it.
//
// There is no verification of signatures after the event, which would guard
// against a fault giving the key away: crypto/rsa does it inside of
// SignPKCS1v15 (decrypt with withCheck in crypto/internal/fips140/rsa).
func (GoEngine) Signer(key *rsa.PrivateKey) (crypto.Signer, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	key.Precompute()
	return key, nil
}

// SigningKey signs tokens. It prints without its private key. It is safe for
// concurrent use.
type SigningKey struct {
	// ID is the key ID to put in the header of a token.
	ID     string
	signer crypto.Signer
}

// Sign returns the RS256 signature of a SHA-256 digest.
func (k *SigningKey) Sign(digest [sha256.Size]byte) ([]byte, error) {
	return k.signer.Sign(nil, digest[:], crypto.SHA256)
}

// String names the key.
func (k SigningKey) String() string { return "signing key " + k.ID + " [redacted]" }

// GoString is String.
func (k SigningKey) GoString() string { return k.String() }

// LogValue is String.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Format writes String whatever the verb: without it %d would reach the key.
func (k SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// PublicKey is what verifiers need to know of a key. Callers must not change
// what it points to.
type PublicKey struct {
	ID          string
	State       State
	Algorithm   string
	Certificate []byte // DER
	Key         *rsa.PublicKey
}

const minBits = 2048

func generate() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, minBits) }

// generateTwo generates at the same time, because the first start waits for it.
func generateTwo(generate func() (*rsa.PrivateKey, error)) (first, second *rsa.PrivateKey, err error) {
	type result struct {
		key *rsa.PrivateKey
		err error
	}
	other := make(chan result, 1)
	go func() {
		key, err := generate()
		other <- result{key, err}
	}()
	first, err = generate()
	r := <-other
	if err = errors.Join(err, r.err); err != nil {
		return nil, nil, fmt.Errorf("generating signing keys: %w", err)
	}
	return first, r.key, nil
}

// newRecord returns a prepared key.
func newRecord(private *rsa.PrivateKey, sealer *Sealer, now time.Time) (Record, error) {
	certificate, err := selfSign(private, now)
	if err != nil {
		return Record{}, fmt.Errorf("making the certificate of a signing key: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Record{}, fmt.Errorf("encoding a signing key: %w", err)
	}
	defer clear(plain)
	id := thumbprint(certificate)
	return Record{
		ID:          id,
		State:       Prepared,
		Algorithm:   RS256,
		Sealed:      sealer.Seal(id, plain),
		Certificate: certificate,
		Created:     now,
	}, nil
}

// selfSign wraps the public key in a certificate, only because key sets carry
// one. The certificate says nothing about who may use the key or until when; it
// is valid for so long that no client which looks at the dates will object.
func selfSign(private *rsa.PrivateKey, now time.Time) ([]byte, error) {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] &= 0x7f
	template := &x509.Certificate{
		SerialNumber:       new(big.Int).SetBytes(serial),
		Subject:            pkix.Name{CommonName: "Avouch token signing"},
		NotBefore:          now.Add(-24 * time.Hour),
		NotAfter:           now.AddDate(5, 0, 0),
		KeyUsage:           x509.KeyUsageDigitalSignature,
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	return x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
}

func thumbprint(certificate []byte) string {
	sum := sha1.Sum(certificate) // #nosec: see the import
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sealPublic returns what the record of a retired key holds.
func sealPublic(key PublicKey, sealer *Sealer) ([]byte, error) {
	plain, err := x509.MarshalPKIXPublicKey(key.Key)
	if err != nil {
		return nil, fmt.Errorf("encoding signing key %s: %w", key.ID, err)
	}
	return sealer.Seal(key.ID, plain), nil
}

// openRecord checks that a record is what the ring once wrote and that its
// parts belong together. private is nil for a retired key.
func openRecord(key Record, sealer *Sealer) (private *rsa.PrivateKey, public PublicKey, err error) {
	refuse := func(format string, args ...any) (*rsa.PrivateKey, PublicKey, error) {
		return nil, PublicKey{}, fmt.Errorf("keyring: signing key %s (%s): %w", key.ID, key.State, fmt.Errorf(format, args...))
	}
	if key.Algorithm != RS256 {
		return refuse("algorithm %q is not supported", key.Algorithm)
	}
	if thumbprint(key.Certificate) != key.ID {
		return refuse("the certificate is not the one that the key ID names")
	}
	certificate, err := x509.ParseCertificate(key.Certificate)
	if err != nil {
		return refuse("reading its certificate: %w", err)
	}
	certified, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || certified.N.BitLen() < minBits {
		return refuse("it is not an RSA key of at least %d bits", minBits)
	}
	plain, err := sealer.Open(key.ID, key.Sealed)
	if err != nil {
		return nil, PublicKey{}, fmt.Errorf("keyring: the key-encryption key does not open signing key %s: was the file replaced? (%w)", key.ID, err)
	}
	defer clear(plain)

	public = PublicKey{ID: key.ID, State: key.State, Algorithm: key.Algorithm, Certificate: key.Certificate, Key: certified}
	switch key.State {
	case Retired:
		want, err := x509.MarshalPKIXPublicKey(certified)
		if err != nil {
			return refuse("encoding its public key: %w", err)
		}
		if !bytes.Equal(plain, want) {
			return refuse("its sealed part is not that of a retired key")
		}
		return nil, public, nil
	case Prepared, Active:
		// The parser's errors are left out, since they may quote the key.
		parsed, err := x509.ParsePKCS8PrivateKey(plain)
		if err != nil {
			return refuse("its sealed part is not a private key")
		}
		private, ok := parsed.(*rsa.PrivateKey)
		if !ok || !private.PublicKey.Equal(certified) {
			return refuse("its private key does not belong to its certificate")
		}
		return private, public, nil
	}
	return refuse("the state is unknown")
}

// newSigningKey returns a key that has signed once, and rightly.
func newSigningKey(engine Engine, private *rsa.PrivateKey, public PublicKey) (*SigningKey, error) {
	if private == nil {
		return nil, fmt.Errorf("keyring: signing key %s is retired", public.ID)
	}
	signer, err := engine.Signer(private)
	if err != nil {
		return nil, fmt.Errorf("giving signing key %s to engine %s: %w", public.ID, engine.Name(), err)
	}
	key := &SigningKey{ID: public.ID, signer: signer}
	digest := sha256.Sum256([]byte(public.ID))
	signature, err := key.Sign(digest)
	if err != nil {
		return nil, fmt.Errorf("trying signing key %s with engine %s: %w", public.ID, engine.Name(), err)
	}
	if err := rsa.VerifyPKCS1v15(public.Key, crypto.SHA256, digest[:], signature); err != nil {
		return nil, fmt.Errorf("engine %s does not sign correctly with signing key %s: %w", engine.Name(), public.ID, err)
	}
	return key, nil
}
