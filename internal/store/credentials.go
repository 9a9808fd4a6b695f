package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/avouch/avouch/internal/directory"
)

const selectCredentials = `SELECT tenant_id, parent_id, credential_id, name, issuer, subject, audience, description FROM federated_credentials`

func readCredential(s scanner) (directory.FederatedCredential, error) {
	var r credentialRow
	if err := s.Scan(&r.tenant, &r.parent, &r.credential, &r.name, &r.issuer, &r.subject, &r.audience, &r.description); err != nil {
		return directory.FederatedCredential{}, fmt.Errorf("store: table federated_credentials: %w", err)
	}
	return r.decode()
}

// pairKey stands for issuer and subject together; the length keeps them apart.
func pairKey(issuer, subject string) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(len(issuer)))
	sum := sha256.Sum256(append(append(b, issuer...), subject...))
	return hex.EncodeToString(sum[:])
}

// parent returns an error wrapping directory.ErrNotFound if there is neither an
// application nor a managed identity with the id.
func (t *tx) parent(tenant directory.TenantID, id directory.ObjectID) error {
	_, err := one(t, readString, `SELECT object_id FROM applications WHERE tenant_id = $1 AND object_id = $2
		UNION ALL SELECT principal_id FROM managed_identities WHERE tenant_id = $1 AND principal_id = $2`,
		tenant.String(), id.String())
	return missing(err, "application or managed identity %s in tenant %s", id, tenant)
}

func (t *tx) credentialsOf(tenant directory.TenantID, parent directory.ObjectID) ([]directory.FederatedCredential, error) {
	return all(t, readCredential, selectCredentials+` WHERE tenant_id = $1 AND parent_id = $2 ORDER BY name`, tenant.String(), parent.String())
}

func (t *tx) Credentials(tenant directory.TenantID, parent directory.ObjectID) ([]directory.FederatedCredential, error) {
	found, err := t.credentialsOf(tenant, parent)
	if err != nil || len(found) > 0 {
		return found, err
	}
	return nil, t.parent(tenant, parent)
}

func (t *tx) InsertCredential(tenant directory.TenantID, parent directory.ObjectID, f *directory.FederatedCredential) error {
	r, err := encodeCredential(tenant, parent, f)
	if err != nil {
		return err
	}
	if t.readOnly {
		return errReadOnly
	}
	if err := t.parent(tenant, parent); err != nil {
		return err
	}
	t.writing(tenant)
	_, err = t.exec(`INSERT INTO federated_credentials (tenant_id, parent_id, credential_id, name, issuer, subject, audience, description, pair_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.tenant, r.parent, r.credential, r.name, r.issuer, r.subject, r.audience, r.description, pairKey(r.issuer, r.subject))
	return err
}

func (t *tx) UpdateCredential(tenant directory.TenantID, parent directory.ObjectID, f *directory.FederatedCredential) error {
	r, err := encodeCredential(tenant, parent, f)
	if err != nil {
		return err
	}
	t.writing(tenant)
	n, err := t.exec(`UPDATE federated_credentials SET name = $1, issuer = $2, subject = $3, audience = $4, description = $5, pair_key = $6
		WHERE tenant_id = $7 AND parent_id = $8 AND credential_id = $9`,
		r.name, r.issuer, r.subject, r.audience, r.description, pairKey(r.issuer, r.subject), r.tenant, r.parent, r.credential)
	return met(n, err, "credential %s of %s in tenant %s", f.ID, parent, tenant)
}

func (t *tx) DeleteCredential(tenant directory.TenantID, parent, credential directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM federated_credentials WHERE tenant_id = $1 AND parent_id = $2 AND credential_id = $3`,
		tenant.String(), parent.String(), credential.String())
	return met(n, err, "credential %s of %s in tenant %s", credential, parent, tenant)
}

func (t *tx) deleteCredentials(tenant directory.TenantID, parent directory.ObjectID) error {
	_, err := t.exec(`DELETE FROM federated_credentials WHERE tenant_id = $1 AND parent_id = $2`, tenant.String(), parent.String())
	return err
}
