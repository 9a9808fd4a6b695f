package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
)

// Every change record is stored as JSON together with
//
//	hash = SHA-256(hash of the record before it ‖ JSON)
//
// where the first record of a chain follows 32 zero bytes. Sequence, tenant and
// everything else stand inside the JSON, so that no record can be altered,
// moved, left out or put in without every later hash being wrong. Whoever can
// write to the database can compute a whole chain anew; against that helps only
// a hash that was kept elsewhere.

type head struct {
	sequence int64
	hash     []byte
}

func (h head) next(record []byte) head {
	sum := sha256.Sum256(append(bytes.Clone(h.hash), record...))
	return head{h.sequence + 1, sum[:]}
}

var noHead = head{0, make([]byte, sha256.Size)}

func readHead(s scanner) (head, error) {
	var h head
	if err := s.Scan(&h.sequence, &h.hash); err != nil {
		return head{}, fmt.Errorf("store: table change_heads: %w", err)
	}
	if len(h.hash) != sha256.Size || h.sequence < 1 {
		return head{}, errors.New("store: table change_heads holds a malformed row")
	}
	return h, nil
}

func (t *tx) head(tenant string) (head, error) {
	h, err := one(t, readHead, `SELECT sequence, hash FROM change_heads WHERE tenant_id = $1`, tenant)
	if err == directory.ErrNotFound { //nolint:errorlint // one returns it bare
		return noHead, nil
	}
	return h, err
}

// AppendChange sets the record's sequence itself, and stores its time in UTC.
func (t *tx) AppendChange(c audit.Change) error {
	tenant := c.Tenant.String()
	if t.readOnly {
		return errReadOnly
	}
	before, err := t.head(tenant)
	if err != nil {
		return err
	}
	c.Sequence, c.Time = before.sequence+1, c.Time.UTC()
	record, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("store: encoding an audit record: %w", err)
	}
	now := before.next(record)
	_, err = t.exec(`INSERT INTO change_heads (tenant_id, sequence, hash) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash`, tenant, now.sequence, now.hash)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO changes (tenant_id, sequence, recorded_at, outcome, target_id, target_name, record, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		tenant, now.sequence, c.Time.UnixMicro(), string(c.Outcome), searchable(c.Target.ID), searchable(c.Target.Name), string(record), now.hash)
	return err
}

// searchable makes a stranger's text fit for a column of every engine.
func searchable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

type changeRow struct {
	tenant                        string
	sequence, recordedAt          int64
	outcome, targetID, targetName string
	record, hash                  []byte
}

func readChangeRow(s scanner) (changeRow, error) {
	var r changeRow
	err := s.Scan(&r.tenant, &r.sequence, &r.recordedAt, &r.outcome, &r.targetID, &r.targetName, &r.record, &r.hash)
	if err != nil {
		return changeRow{}, fmt.Errorf("store: table changes: %w", err)
	}
	return r, nil
}

func (r changeRow) decode() (audit.Change, error) {
	var c audit.Change
	fault := func(what string) (audit.Change, error) {
		return audit.Change{}, fmt.Errorf("store: table changes, key %s/%d: %s", r.tenant, r.sequence, what)
	}
	if err := json.Unmarshal(r.record, &c); err != nil {
		return fault(err.Error())
	}
	if c.Tenant.String() != r.tenant || c.Sequence != r.sequence || c.Time.UnixMicro() != r.recordedAt || string(c.Outcome) != r.outcome ||
		searchable(c.Target.ID) != r.targetID || searchable(c.Target.Name) != r.targetName {
		return fault("the columns do not say what the record says")
	}
	return c, nil
}

// where gathers the conditions of a query.
type where struct {
	text []string
	args []any
}

// and adds a condition; ? in it becomes the number of the value.
func (w *where) and(condition string, value any) {
	w.args = append(w.args, value)
	w.text = append(w.text, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(w.args))))
}

// records completes a query for audit records. key is the column that orders
// records of one tenant and moment, behind its value in the place to go on from.
func (w *where) records(query string, q audit.Query, key string, behind any, order string) string {
	if !q.Tenant.IsZero() {
		w.and("tenant_id = ?", q.Tenant.String())
	}
	if q.Outcome != "" {
		w.and("outcome = ?", string(q.Outcome))
	}
	if !q.Since.IsZero() {
		w.and("recorded_at >= ?", q.Since.UnixMicro())
	}
	if !q.Before.IsZero() {
		w.and("recorded_at < ?", q.Before.UnixMicro())
	}
	if !q.Behind.Time.IsZero() {
		w.args = append(w.args, q.Behind.Time.UnixMicro(), behind)
		w.text = append(w.text, fmt.Sprintf("(recorded_at, %s) < ($%d, $%d)", key, len(w.args)-1, len(w.args)))
	}
	if len(w.text) > 0 {
		query += " WHERE " + strings.Join(w.text, " AND ")
	}
	limit := q.Limit
	switch {
	case limit <= 0:
		limit = 100
	case limit > 1000:
		limit = 1000
	}
	w.args = append(w.args, limit)
	return fmt.Sprintf("%s ORDER BY %s LIMIT $%d", query, order, len(w.args))
}

// Changes returns change records, the newest first. Client selects the changes
// of whatever has that id or, as in [audit.Target], that name.
func (db *DB) Changes(ctx context.Context, q audit.Query) ([]audit.Change, error) {
	var w where
	if q.Client != "" {
		w.and("(target_id = ? OR target_name = ?)", q.Client)
	}
	query := w.records(`SELECT tenant_id, sequence, recorded_at, outcome, target_id, target_name, record, hash FROM changes`, q, "sequence", q.Behind.Sequence,
		"recorded_at DESC, tenant_id DESC, sequence DESC")
	var found []audit.Change
	err := db.view(ctx, func(t *tx) (err error) {
		found, err = all(t, func(s scanner) (audit.Change, error) {
			r, err := readChangeRow(s)
			if err != nil {
				return audit.Change{}, err
			}
			return r.decode()
		}, query, w.args...)
		return err
	})
	return found, err
}

// VerifyChanges returns an error naming the first record at which a chain is
// broken: altered, missing, out of order or cut off at the end. It reads all of
// them, tenant by tenant.
func (db *DB) VerifyChanges(ctx context.Context) error {
	return db.view(ctx, func(t *tx) error {
		tenants, err := all(t, readString, `SELECT tenant_id FROM change_heads UNION SELECT tenant_id FROM changes ORDER BY 1`)
		if err != nil {
			return err
		}
		for _, tenant := range tenants {
			if err := t.verifyChain(tenant); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) verifyChain(tenant string) error {
	name := tenant
	if name == "" {
		name = "the platform"
	}
	broken := func(sequence int64, what string) error {
		return fmt.Errorf("the audit chain of %s is broken at record %d: %s", name, sequence, what)
	}
	end, err := t.head(tenant)
	if err != nil {
		return err
	}
	at := noHead
	_, err = all(t, func(s scanner) (struct{}, error) {
		r, err := readChangeRow(s)
		if err != nil {
			return struct{}{}, err
		}
		at = at.next(r.record)
		switch _, err := r.decode(); {
		case r.sequence != at.sequence:
			return struct{}{}, broken(at.sequence, "it is missing")
		case err != nil:
			return struct{}{}, broken(at.sequence, err.Error())
		case !bytes.Equal(r.hash, at.hash):
			return struct{}{}, broken(at.sequence, "its hash does not follow from the record and the hash before it")
		}
		return struct{}{}, nil
	}, `SELECT tenant_id, sequence, recorded_at, outcome, target_id, target_name, record, hash FROM changes WHERE tenant_id = $1 ORDER BY sequence`, tenant)
	if err != nil {
		return err
	}
	switch {
	case at.sequence < end.sequence:
		return broken(at.sequence+1, fmt.Sprintf("it is missing, and the chain should end at record %d", end.sequence))
	case at.sequence > end.sequence || !bytes.Equal(at.hash, end.hash):
		return broken(at.sequence, "it is not where the chain should end")
	}
	return nil
}

// RecordSignIns stores the batch in one transaction. A record that is stored
// already, by tenant, time and id, is left as it is, so that a batch may be
// tried again. Storing records does not touch the caches.
func (db *DB) RecordSignIns(ctx context.Context, batch []audit.SignIn) error {
	if len(batch) == 0 {
		return nil
	}
	return db.change(ctx, func(t *tx) error {
		return t.execEach(`INSERT INTO sign_ins (tenant_id, recorded_at, id, outcome, client_id, client_name, record)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, recorded_at, id) DO NOTHING`,
			len(batch), func(i int) ([]any, error) {
				s := batch[i]
				s.Time = s.Time.UTC()
				record, err := json.Marshal(s)
				if err != nil {
					return nil, fmt.Errorf("store: encoding a sign-in record: %w", err)
				}
				return []any{
					s.Tenant.String(), s.Time.UnixMicro(), searchable(s.ID), string(s.Outcome),
					s.ClientID.String(), searchable(s.ClientName), string(record),
				}, nil
			})
	})
}

// SignIns returns sign-in records, the newest first. Client is taken for a
// client id if it is a GUID, and for a name otherwise.
func (db *DB) SignIns(ctx context.Context, q audit.Query) ([]audit.SignIn, error) {
	var w where
	if q.Client != "" {
		if id, err := directory.ParseClientID(q.Client); err == nil {
			w.and("client_id = ?", id.String())
		} else {
			w.and("client_name = ?", q.Client)
		}
	}
	query := w.records(`SELECT tenant_id, recorded_at, id, outcome, record FROM sign_ins`, q, "id", q.Behind.ID, "recorded_at DESC, id DESC")
	var found []audit.SignIn
	err := db.view(ctx, func(t *tx) (err error) {
		found, err = all(t, readSignIn, query, w.args...)
		return err
	})
	return found, err
}

func readSignIn(s scanner) (audit.SignIn, error) {
	var tenant, id, outcome string
	var recordedAt int64
	var record []byte
	if err := s.Scan(&tenant, &recordedAt, &id, &outcome, &record); err != nil {
		return audit.SignIn{}, fmt.Errorf("store: table sign_ins: %w", err)
	}
	var r audit.SignIn
	if err := json.Unmarshal(record, &r); err != nil {
		return audit.SignIn{}, fmt.Errorf("store: table sign_ins, key %s/%d/%s: %w", tenant, recordedAt, id, err)
	}
	if r.Tenant.String() != tenant || r.Time.UnixMicro() != recordedAt || string(r.Outcome) != outcome {
		return audit.SignIn{}, fmt.Errorf("store: table sign_ins, key %s/%d/%s: the columns do not say what the record says", tenant, recordedAt, id)
	}
	return r, nil
}

// pruneStep bounds how long one step of pruning keeps other writers waiting.
const pruneStep = 1000

// PruneSignIns removes the sign-in records made before the time, and if keep is
// above 0 also the oldest of the rest, so that no more than keep remain. It
// returns how many it removed, which on an error may be more than none: it
// works in steps, each a transaction of its own.
func (db *DB) PruneSignIns(ctx context.Context, before time.Time, keep int) (int64, error) {
	removed, err := db.pruneBefore(ctx, before.UnixMicro())
	if err != nil || keep <= 0 {
		return removed, err
	}
	// The oldest record to stay. Others of the same microsecond stay with it.
	var oldest int64
	err = db.view(ctx, func(t *tx) (err error) {
		oldest, err = one(t, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
			`SELECT recorded_at FROM sign_ins ORDER BY recorded_at DESC LIMIT 1 OFFSET $1`, keep-1)
		return err
	})
	if err == directory.ErrNotFound { //nolint:errorlint // one returns it bare
		return removed, nil
	}
	if err != nil {
		return removed, err
	}
	more, err := db.pruneBefore(ctx, oldest)
	return removed + more, err
}

func (db *DB) pruneBefore(ctx context.Context, micros int64) (removed int64, err error) {
	for {
		var n int64
		err := db.change(ctx, func(t *tx) error {
			last, err := one(t, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
				`SELECT recorded_at FROM sign_ins WHERE recorded_at < $1 ORDER BY recorded_at LIMIT 1 OFFSET $2`, micros, pruneStep-1)
			if err == directory.ErrNotFound { //nolint:errorlint // one returns it bare
				last, err = micros-1, nil
			}
			if err != nil {
				return err
			}
			n, err = t.exec(`DELETE FROM sign_ins WHERE recorded_at <= $1`, last)
			return err
		})
		removed += n
		if err != nil || n < pruneStep {
			return removed, err
		}
	}
}
