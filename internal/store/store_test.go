package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/store/storetest"
)

func open(t testing.TB, path string) *store.DB {
	t.Helper()
	db, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB { return open(t, filepath.Join(t.TempDir(), "avouch.db")) })
}
