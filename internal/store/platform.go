package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/keyring"
)

// Meta returns a fact about the platform, such as which cloud it is. The error
// wraps directory.ErrNotFound if it was never set.
func (db *DB) Meta(ctx context.Context, key string) (string, error) {
	var value string
	err := db.view(ctx, func(t *tx) (err error) {
		value, err = one(t, readString, `SELECT value FROM platform_facts WHERE name = $1`, key)
		return missing(err, "the platform's %q", key)
	})
	return value, err
}

// SetMeta sets a fact about the platform.
func (db *DB) SetMeta(ctx context.Context, key, value string) error {
	return db.change(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO platform_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
}

func readKey(s scanner) (keyring.Record, error) {
	var k keyring.Record
	var state string
	var created, activated, retired int64
	err := s.Scan(&k.ID, &state, &k.Algorithm, &k.Sealed, &k.Certificate, &created, &activated, &retired, &k.Version)
	if err != nil {
		return keyring.Record{}, fmt.Errorf("store: table signing_keys: %w", err)
	}
	c := checker{table: "signing_keys", key: []string{k.ID}}
	k.State = word(&c, "state", state, keyring.Prepared, keyring.Active, keyring.Retired)
	k.Created, k.Activated, k.Retired = fromMicros(created), fromMicros(activated), fromMicros(retired)
	if len(k.Sealed) == 0 {
		c.fail("sealed", "", "a sealed key")
	}
	if k.Version < 1 {
		c.fail("version", k.Version, "1 or more")
	}
	return k, c.err
}

// Keys implements [keyring.Store].
func (db *DB) Keys(ctx context.Context) ([]keyring.Record, error) {
	var keys []keyring.Record
	err := db.view(ctx, func(t *tx) (err error) {
		keys, err = all(t, readKey, `SELECT key_id, state, algorithm, sealed, certificate, created_at, activated_at, retired_at, version FROM signing_keys ORDER BY created_at, key_id`)
		return err
	})
	return keys, err
}

// CreateKey implements [keyring.Store].
func (db *DB) CreateKey(ctx context.Context, k keyring.Record) error {
	return db.changeKeys(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO signing_keys (key_id, state, algorithm, sealed, certificate, created_at, activated_at, retired_at, version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)`,
			k.ID, string(k.State), k.Algorithm, k.Sealed, k.Certificate, k.Created.UnixMicro(), k.Activated.UnixMicro(), k.Retired.UnixMicro())
		return err
	})
}

// Activate implements [keyring.Store].
func (db *DB) Activate(ctx context.Context, next keyring.Record, present *keyring.Record) error {
	if next.State != keyring.Active || present != nil && present.State == keyring.Active {
		return fmt.Errorf("store: activating signing key %s: it has to be active, and the present one no longer", next.ID)
	}
	return db.changeKeys(ctx, func(t *tx) error {
		// The present key first: the schema allows one active key at a time.
		if present != nil {
			if err := t.updateKey(*present); err != nil {
				return err
			}
		}
		return t.updateKey(next)
	})
}

func (t *tx) updateKey(k keyring.Record) error {
	n, err := t.exec(`UPDATE signing_keys SET state = $1, algorithm = $2, sealed = $3, certificate = $4, created_at = $5, activated_at = $6, retired_at = $7, version = version + 1
		WHERE key_id = $8 AND version = $9`,
		string(k.State), k.Algorithm, k.Sealed, k.Certificate, k.Created.UnixMicro(), k.Activated.UnixMicro(), k.Retired.UnixMicro(), k.ID, k.Version)
	return met(n, err, "signing key %s in version %d", k.ID, k.Version)
}

// DeleteKey implements [keyring.Store].
func (db *DB) DeleteKey(ctx context.Context, id string, version int64) error {
	return db.changeKeys(ctx, func(t *tx) error {
		n, err := t.exec(`DELETE FROM signing_keys WHERE key_id = $1 AND version = $2`, id, version)
		return met(n, err, "signing key %s in version %d", id, version)
	})
}

// changeKeys says in the keyring's word that a key was not what it was read as.
func (db *DB) changeKeys(ctx context.Context, fn func(*tx) error) error {
	err := db.change(ctx, fn)
	if errors.Is(err, directory.ErrConflict) || errors.Is(err, directory.ErrNotFound) {
		return fmt.Errorf("%w (%w)", keyring.ErrConflict, err)
	}
	return err
}
