// Package store keeps the directory, the audit records, the signing keys and a
// few facts about the platform in an SQL database.
//
// It holds no policy: what is stored is returned, what is told is written, and
// only keys are refused. Every row is checked as it is read; one that cannot be
// what the program wrote is an error naming table and key.
//
// A write that was acknowledged is durable, and seen by every later read
// through the same [DB], the cached ones of [Directory] included.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
)

var (
	_ manage.Store  = (*DB)(nil)
	_ manage.Tx     = (*tx)(nil)
	_ keyring.Store = (*DB)(nil)
)

// DB is an open database. All methods may be called concurrently.
//
// After a write, or the syncing of one, has failed in a way that leaves the
// state of the disk unknown, the DB is suspect: reads go on, every write
// answers a problem of kind Unavailable, until the database is closed and
// opened again. A full disk does not make it suspect; writes succeed again once
// there is space.
type DB struct {
	writer   *sql.DB // one connection; transactions start as BEGIN IMMEDIATE
	reader   *sql.DB
	versions versions
	suspect  atomic.Pointer[suspicion]
	unlock   func() error
	close    sync.Once
	closeErr error

	pending int               // rough count of pages in the log; owned by whoever holds the writer
	trace   func(sql string)  // for tests: sees every statement
	fault   func(phase) error // for tests: stands in for what the engine answers
}

// phase is where a test may put a fault.
type phase int

const (
	committing phase = iota + 1
	checkpointing
)

type suspicion struct{ cause error }

// Suspect returns nil, or a problem of kind Unavailable saying why the DB
// acknowledges no writes until it is opened again.
func (db *DB) Suspect() error {
	s := db.suspect.Load()
	if s == nil {
		return nil
	}
	return problem.Wrap(problem.Unavailable, s.cause, "the database takes no changes since a write to the disk failed; check the disk, then restart the server")
}

func (db *DB) distrust(cause error) error {
	db.suspect.CompareAndSwap(nil, &suspicion{cause})
	return db.Suspect()
}

// Change runs fn in one writing transaction; see [manage.Store]. Writers wait
// for each other, and give up waiting when ctx ends. Once the commit has begun
// it is no longer cancelled. fn must not call methods of the DB that write: it
// would wait for itself.
//
// A problem of kind Unavailable that wraps [ErrUnknownOutcome] says that the
// change may or may not be found after the database has been opened again.
func (db *DB) Change(ctx context.Context, fn func(manage.Tx) error) error {
	return db.change(ctx, func(t *tx) error { return fn(t) })
}

// View runs fn on one consistent state; see [manage.Store].
func (db *DB) View(ctx context.Context, fn func(manage.Tx) error) error {
	return db.view(ctx, func(t *tx) error { return fn(t) })
}

// ErrUnknownOutcome is wrapped by the error of a write whose commit failed at
// the disk: it has not been acknowledged, and yet may be found after a restart.
var ErrUnknownOutcome = errors.New("the outcome of the write is unknown")

func (db *DB) change(ctx context.Context, fn func(*tx) error) error {
	if err := db.Suspect(); err != nil {
		return err
	}
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return db.classify(err, true)
	}
	defer func() { _ = conn.Close() }()
	// The writer before us may have made the DB suspect while we waited.
	if err := db.Suspect(); err != nil {
		return err
	}
	t, err := db.begin(ctx, conn, false)
	if err != nil {
		return err
	}
	defer t.rollback() // after a commit it does nothing

	if err := fn(t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = db.commit(t)
	// Also after a commit that failed: what it left behind is for the next
	// reader to find out.
	db.versions.advance(t.wrote)
	if err != nil {
		return err
	}
	db.pending += t.statements + 4
	db.checkpoint(conn)
	return nil
}

func (db *DB) commit(t *tx) error {
	err := t.sql.Commit()
	if db.fault != nil && err == nil {
		err = db.fault(committing)
	}
	if err == nil {
		return nil
	}
	err = db.classify(err, true)
	if db.Suspect() != nil {
		return problem.Wrap(problem.Unavailable, fmt.Errorf("%w: %w", ErrUnknownOutcome, err),
			"the disk failed while the change was being written; whether it was kept is unknown: restart the server, then look")
	}
	return err
}

func (db *DB) view(ctx context.Context, fn func(*tx) error) error {
	conn, err := db.reader.Conn(ctx)
	if err != nil {
		return db.classify(err, false)
	}
	defer func() { _ = conn.Close() }()
	t, err := db.begin(ctx, conn, true)
	if err != nil {
		return err
	}
	defer t.rollback()
	if err := fn(t); err != nil {
		return err
	}
	return t.broken
}

func (db *DB) begin(ctx context.Context, conn *sql.Conn, readOnly bool) (*tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The transaction does not hang on ctx: the driver would interrupt
	// statements, and a commit, in the middle. Each statement looks at ctx first.
	s, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return nil, db.classify(err, !readOnly)
	}
	return &tx{ctx: ctx, db: db, sql: s, readOnly: readOnly}, nil
}

// tx is one transaction. It is used by one goroutine.
type tx struct {
	ctx        context.Context
	db         *DB
	sql        *sql.Tx
	readOnly   bool
	statements int
	wrote      map[directory.TenantID]struct{} // tenants whose directory was written to
	broken     error                           // a failure after which the engine may have rolled back by itself
}

var errReadOnly = errors.New("store: a write inside a view")

func (t *tx) rollback() { _ = t.sql.Rollback() }

// writing says that the directory of the tenant is about to change.
func (t *tx) writing(id directory.TenantID) {
	if t.wrote == nil {
		t.wrote = make(map[directory.TenantID]struct{})
	}
	t.wrote[id] = struct{}{}
}

// ready is called before each statement.
func (t *tx) ready(query string) error {
	if t.broken != nil {
		return t.broken
	}
	if t.db.trace != nil {
		t.db.trace(query)
	}
	return t.ctx.Err()
}

// failed classifies the error of a statement. What is neither a clash of keys
// nor a missing row ends the transaction: the engine may have rolled it back,
// and a statement after that would be a transaction of its own.
func (t *tx) failed(err error) error {
	err = t.db.classify(err, !t.readOnly)
	if !errors.Is(err, directory.ErrConflict) && !errors.Is(err, directory.ErrNotFound) {
		t.broken = err
	}
	return err
}

// exec runs one writing statement and returns how many rows it met.
func (t *tx) exec(query string, args ...any) (int64, error) {
	if t.readOnly {
		return 0, errReadOnly
	}
	if err := t.ready(query); err != nil {
		return 0, err
	}
	t.statements++
	result, err := t.sql.ExecContext(context.WithoutCancel(t.ctx), query, args...)
	if err != nil {
		return 0, t.failed(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, t.failed(err)
	}
	return n, nil
}

// execEach runs one writing statement n times, each time with the arguments
// that args returns. The statement is compiled once, which for a short one
// costs as much as a run of it.
func (t *tx) execEach(query string, n int, args func(i int) ([]any, error)) error {
	if t.readOnly {
		return errReadOnly
	}
	if err := t.ready(query); err != nil {
		return err
	}
	ctx := context.WithoutCancel(t.ctx)
	statement, err := t.sql.PrepareContext(ctx, query)
	if err != nil {
		return t.failed(err)
	}
	defer func() { _ = statement.Close() }()
	for i := range n {
		row, err := args(i)
		if err != nil {
			return err
		}
		t.statements++
		if _, err := statement.ExecContext(ctx, row...); err != nil {
			return t.failed(err)
		}
	}
	return nil
}

// atomically undoes what fn wrote when fn fails, so that a caller who goes on
// after a clash of keys does not keep half an object.
func (t *tx) atomically(fn func() error) error {
	if _, err := t.exec("SAVEPOINT step"); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		if _, undo := t.exec("ROLLBACK TO SAVEPOINT step"); undo != nil {
			return err // nothing will be kept of the transaction
		}
	}
	if _, release := t.exec("RELEASE SAVEPOINT step"); release != nil && err == nil {
		return release
	}
	return err
}

// scanner is one row of a result.
type scanner interface{ Scan(...any) error }

// all returns every row of the query. The result is nil when there is none.
func all[R any](t *tx, read func(scanner) (R, error), query string, args ...any) ([]R, error) {
	if err := t.ready(query); err != nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(context.WithoutCancel(t.ctx), query, args...)
	if err != nil {
		return nil, t.failed(err)
	}
	defer func() { _ = rows.Close() }()
	var found []R
	for rows.Next() {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		r, err := read(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, t.failed(err)
	}
	return found, nil
}

// one returns the only row of the query, and directory.ErrNotFound as it is
// when there is none.
func one[R any](t *tx, read func(scanner) (R, error), query string, args ...any) (R, error) {
	found, err := all(t, read, query, args...)
	if err != nil || len(found) == 0 {
		var none R
		if err == nil {
			err = directory.ErrNotFound
		}
		return none, err
	}
	return found[0], nil
}

// missing turns a bare directory.ErrNotFound into one that names the object.
func missing(err error, format string, args ...any) error {
	if err == directory.ErrNotFound { //nolint:errorlint // only the bare one lacks a name
		return fmt.Errorf(format+": %w", append(args, err)...)
	}
	return err
}

// met is missing for statements: one that met no row names an absent object.
func met(n int64, err error, format string, args ...any) error {
	if err == nil && n == 0 {
		err = directory.ErrNotFound
	}
	return missing(err, format, args...)
}
