package avouchtest

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/avouch/avouch/internal/keyring"
	_ "modernc.org/sqlite" // the driver of the data directory's database
)

// SignWithDataOf signs any claims with the active key of a platform that runs
// in another process on the data directory: for tests that drive the built
// program. It only reads.
func SignWithDataOf(t testing.TB, dir string, claims map[string]any) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "avouch.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	var id string
	var sealed []byte
	row := db.QueryRowContext(t.Context(), `SELECT key_id, sealed FROM signing_keys WHERE state = $1`, string(keyring.Active))
	if err := row.Scan(&id, &sealed); err != nil {
		t.Fatalf("reading the active key: %v", err)
	}
	kek, err := keyring.LoadOrCreateKEK(filepath.Join(dir, "key-encryption.key"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := keyring.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sealer.Open(id, sealed)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := private.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the active key is a %T", private)
	}
	signer, err := keyring.GoEngine{}.Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, id, func(digest [sha256.Size]byte) ([]byte, error) { return signer.Sign(nil, digest[:], rs256) }, claims)
}
