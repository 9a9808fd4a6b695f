package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
)

// kekSize is the length of a key-encryption key in bytes.
const kekSize = 32

// sealVersion starts every sealed text, and is bound into it.
const sealVersion = 1

// Sealer encrypts private keys under a key-encryption key. It is safe for
// concurrent use and prints nothing of the key. Its zero value is unusable.
type Sealer struct{ aead cipher.AEAD }

// NewSealer returns a sealer for a key-encryption key of exactly 32 bytes. It
// keeps no reference to kek.
func NewSealer(kek []byte) (*Sealer, error) {
	if len(kek) != kekSize {
		return nil, fmt.Errorf("keyring: a key-encryption key has %d bytes, not %d", kekSize, len(kek))
	}
	// The key itself encrypts nothing, so that it can serve other purposes
	// under other names.
	subkey, err := hkdf.Key(sha256.New, kek, nil, "avouch signing keys v1", kekSize)
	if err != nil {
		return nil, err
	}
	defer clear(subkey)
	block, err := aes.NewCipher(subkey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead: aead}, nil
}

// Seal encrypts plain so that only Open with the same id gives it back.
func (s *Sealer) Seal(id string, plain []byte) []byte {
	return s.aead.Seal([]byte{sealVersion}, nil, plain, additional(id))
}

// Open reverses Seal. It returns an error, which says nothing about the
// content, if sealed was changed, or was sealed for another id or under another
// key.
func (s *Sealer) Open(id string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, errors.New("keyring: this is not a sealed key in a known format")
	}
	return s.aead.Open(nil, nil, sealed[1:], additional(id))
}

func additional(id string) []byte {
	return append([]byte{sealVersion}, id...)
}

// String says what it is.
func (s Sealer) String() string { return "sealer [redacted]" }

// GoString is String.
func (s Sealer) GoString() string { return s.String() }

// LogValue is String.
func (s Sealer) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Format writes String whatever the verb: without it %d would reach the key.
func (s Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LoadOrCreateKEK returns the key-encryption key in the file at path: 32 bytes
// in base64, and white space around them. If there is no file it creates one
// with a random key that only its owner can read, durably and completely or not
// at all; the directory must exist. Servers that create it at the same time get
// the same key.
//
// It returns an error if anybody but the owner may read or write the file
// (which is not checked on Windows), or if the content is anything else.
func LoadOrCreateKEK(path string) ([]byte, error) {
	kek, err := loadKEK(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return kek, err
	}
	if err := createKEK(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating the key-encryption key: %w", err)
	}
	return loadKEK(path)
}

func loadKEK(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key-encryption key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the key-encryption key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the key-encryption key %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the key-encryption key %s is open to other users (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, 1024))
	if err != nil {
		return nil, fmt.Errorf("reading the key-encryption key: %w", err)
	}
	defer clear(text)
	kek := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(kek, bytes.TrimSpace(text))
	if err != nil || n != kekSize {
		return nil, fmt.Errorf("the key-encryption key %s is damaged: it should hold %d bytes in base64; restore it from a backup", path, kekSize)
	}
	return kek[:n:n], nil
}

// createKEK writes the key to a file of another name and links it to its own:
// like O_EXCL, a link never replaces what is there, and unlike it, never shows
// anybody a file that is not finished.
func createKEK(path string) error {
	kek := make([]byte, kekSize)
	_, _ = rand.Read(kek) // never fails
	defer clear(kek)
	directory := filepath.Dir(path)
	file, err := os.CreateTemp(directory, ".key-*") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(kek) + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil {
		return err
	}
	return syncDirectory(directory)
}

func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil // which has no such call
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
