package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Releases of SQLite before this one can corrupt a database when a write-ahead
// log is reset (sqlite.org, "WAL-reset bug").
var oldestSQLite = [3]int{3, 51, 3}

const (
	maxReaders  = 4
	readerIdle  = 30 * time.Second
	lockTimeout = 5000 // milliseconds
	logPages    = 1000 // how much the log may hold before it is copied into the database
)

// OpenSQLite opens the database in the file, creates it with mode 0600 when it
// is not there, checks it, and brings its schema up to date. The directory must
// exist. A file that another process has open, that is damaged, that a newer
// program wrote or that is no database of ours is refused.
func OpenSQLite(ctx context.Context, path string) (_ *DB, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening the database %s: %w", path, err)
		}
	}()
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	db := &DB{unlock: unlock}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	if err := createFile(path); err != nil {
		return nil, err
	}
	if db.writer, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, err
	}
	db.writer.SetMaxOpenConns(1)
	db.writer.SetMaxIdleConns(1)
	if db.reader, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return nil, err
	}
	db.reader.SetMaxOpenConns(maxReaders)
	db.reader.SetMaxIdleConns(maxReaders)
	db.reader.SetConnMaxIdleTime(readerIdle)

	if err := db.checkEngine(ctx); err != nil {
		return nil, err
	}
	if err := db.migrate(ctx, sqliteMigrations, everyVersion); err != nil {
		return nil, err
	}
	// The write-ahead log has come into being meanwhile.
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return db, nil
}

// dsn spells the settings of a connection. Checkpoints are ours (see
// checkpoint), the page cache is small because the process shall idle in 30 MB.
func dsn(path string, readOnly bool) string {
	q := url.Values{
		"_busy_timeout": {strconv.Itoa(lockTimeout)},
		"_foreign_keys": {"1"},
		"_synchronous":  {"FULL"},
		"_dqs":          {"0"},
		"_defensive":    {"1"},
		"_pragma": {
			"mmap_size(0)", "temp_store(MEMORY)", "cell_size_check(1)",
			"trusted_schema(0)", "secure_delete(FAST)", "wal_autocheckpoint(0)", "journal_size_limit(8388608)",
		},
	}
	if readOnly {
		q.Set("mode", "ro")
		q.Add("_pragma", "cache_size(-1000)")
		q.Set("_query_only", "1")
	} else {
		q.Set("mode", "rw")
		q.Add("_pragma", "cache_size(-4000)")
		q.Set("_journal_mode", "WAL")
		q.Set("_txlock", "immediate")
	}
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/…
	}
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: q.Encode()}).String()
}

func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// checkEngine makes sure that SQLite is new enough, has taken the settings that
// durability rests on, and finds the file sound.
func (db *DB) checkEngine(ctx context.Context) error {
	var version string
	if err := db.writer.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return notOurs(err)
	}
	if !newEnough(version) {
		return fmt.Errorf("SQLite %s can corrupt databases; %d.%d.%d or later is needed", version, oldestSQLite[0], oldestSQLite[1], oldestSQLite[2])
	}
	for _, s := range []struct{ pragma, want string }{
		{"journal_mode", "wal"}, {"synchronous", "2"}, {"foreign_keys", "1"}, {"mmap_size", "0"}, {"quick_check(1)", "ok"},
	} {
		var got string
		err := db.writer.QueryRowContext(ctx, "PRAGMA "+s.pragma).Scan(&got)
		switch {
		case errors.Is(err, sql.ErrNoRows) && s.want == "0":
			// mmap_size answers nothing where there is no memory mapping.
		case err != nil:
			return notOurs(err)
		case got != s.want && s.want == "ok":
			return fmt.Errorf("the file is damaged (%s); restore a backup", got)
		case got != s.want:
			return fmt.Errorf("%s is %q, not %q: does the file system support what SQLite needs? Network file systems do not", s.pragma, got, s.want)
		}
	}
	return nil
}

func notOurs(err error) error {
	if code, ok := sqliteCode(err); ok && code&0xff == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("the file is not an SQLite database: %w", err)
	}
	return err
}

func newEnough(version string) bool {
	var v [3]int
	for i, part := range strings.SplitN(version, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		v[i] = n
	}
	for i := range v {
		if v[i] != oldestSQLite[i] {
			return v[i] > oldestSQLite[i]
		}
	}
	return true
}

// Close ends the database. The writing transaction under way is waited for, and
// later ones fail. Closing again does nothing.
func (db *DB) Close() error {
	db.close.Do(func() {
		var errs []error
		if db.reader != nil {
			errs = append(errs, db.reader.Close())
		}
		if db.writer != nil {
			last, err := db.writer.Conn(context.Background())
			errs = append(errs, err, db.writer.Close())
			if err == nil {
				errs = append(errs, last.Close())
			}
		}
		db.closeErr = errors.Join(append(errs, db.unlock())...)
	})
	return db.closeErr
}

// checkpoint copies the log into the database when it has grown. SQLite would
// do so by itself, but says nothing when that fails, and after a failed sync
// nothing may be acknowledged any more. A full disk is no failure: the log
// keeps what was written, and the next commit tries again.
func (db *DB) checkpoint(conn *sql.Conn) {
	if db.pending < logPages {
		return
	}
	var busy, logged, copied int
	err := conn.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &logged, &copied)
	if db.fault != nil && err == nil {
		err = db.fault(checkpointing)
	}
	if err != nil {
		_ = db.classify(err, true) // the commit before it stands
		return
	}
	if busy == 0 && copied == logged {
		db.pending = 0
	}
}

// classify turns what the engine says into what callers may rely on, and makes
// the DB suspect when the disk can no longer be trusted. Other errors, such as
// those of contexts, come back as they are.
func (db *DB) classify(err error, writing bool) error {
	code, ok := sqliteCode(err)
	if !ok {
		return err
	}
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fmt.Errorf("%s: %w", clash(err), directory.ErrConflict)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("an object that this one belongs to or names: %w", directory.ErrNotFound)
	case sqlite3.SQLITE_IOERR_SHMSIZE:
		// The index of the log could not grow. It is not durable, and rebuilt
		// when it is lost.
		return diskFull(err)
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return diskFull(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return problem.Wrap(problem.Unavailable, err, "the database is locked by another program; close it, then try again")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return db.distrust(err)
	case sqlite3.SQLITE_IOERR:
		if writing {
			return db.distrust(err)
		}
		return problem.Wrap(problem.Unavailable, err, "the database cannot be read; check the disk")
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return problem.Wrap(problem.Unavailable, err, "the database file cannot be opened for writing; check its permissions and its disk")
	}
	return err
}

func sqliteCode(err error) (int, bool) {
	var e interface{ Code() int } // *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

func diskFull(err error) error {
	return problem.Wrap(problem.Unavailable, err, "the disk is full and nothing was changed; free some space, then try again")
}

// clashes says in plain words what each unique key of the schema means, by the
// columns that SQLite names.
var clashes = map[string]string{
	"tenants.tenant_id":     "a tenant with that id exists",
	"tenants.name_key":      "a tenant with that name exists",
	"tenant_domains.domain": "a tenant with that domain exists",
	"client_ids.client_id":  "the client id is in use",

	"applications.tenant_id, applications.object_id":                                          "an application with that object id exists in the tenant",
	"applications.tenant_id, applications.client_id":                                          "the client id is in use",
	"applications.tenant_id, applications.unique_name":                                        "an application with that unique name exists in the tenant",
	"application_uris.tenant_id, application_uris.uri":                                        "an application with that identifier URI exists in the tenant",
	"app_roles.tenant_id, app_roles.application_id, app_roles.role_id":                        "the application has two app roles with that id",
	"service_principals.tenant_id, service_principals.object_id":                              "a service principal with that object id exists in the tenant",
	"service_principals.tenant_id, service_principals.client_id":                              "a service principal of that client id exists in the tenant",
	"service_principal_names.tenant_id, service_principal_names.name":                         "a service principal with that service principal name exists in the tenant",
	"app_role_assignments.tenant_id, app_role_assignments.assignment_id":                      "an app role assignment with that id exists in the tenant",
	"managed_identities.tenant_id, managed_identities.principal_id":                           "a managed identity with that principal id exists in the tenant",
	"managed_identities.tenant_id, managed_identities.client_id":                              "the client id is in use",
	"managed_identities.tenant_id, managed_identities.name_key, managed_identities.group_key": "a managed identity with that name exists in the resource group",
	"hosts.tenant_id, hosts.object_id":                                                        "a host with that id exists in the tenant",
	"hosts.tenant_id, hosts.name":                                                             "a host with that name exists in the tenant",
	"host_identities.tenant_id, host_identities.host_id, host_identities.principal_id":        "the host has that identity twice",

	"app_role_assignments.tenant_id, app_role_assignments.principal_id, app_role_assignments.resource_id, app_role_assignments.role_id": "the principal holds that app role on the resource already",
	"federated_credentials.tenant_id, federated_credentials.parent_id, federated_credentials.credential_id":                             "a credential with that id exists on its parent",
	"federated_credentials.tenant_id, federated_credentials.parent_id, federated_credentials.name":                                      "a credential with that name exists on its parent",
	"federated_credentials.tenant_id, federated_credentials.parent_id, federated_credentials.pair_key":                                  "a credential with that issuer and subject exists on its parent",

	"users.tenant_id, users.object_id":                                               "a user with that object id exists in the tenant",
	"users.tenant_id, users.upn_key":                                                 "a user with that principal name exists in the tenant",
	"groups.tenant_id, groups.object_id":                                             "a group with that object id exists in the tenant",
	"resource_groups.tenant_id, resource_groups.name_key":                            "a resource group with that name exists in the tenant",
	"deleted_objects.tenant_id, deleted_objects.object_id":                           "a deleted object with that id exists in the tenant",
	"permission_grants.tenant_id, permission_grants.grant_id":                        "a permission grant with that id exists in the tenant",
	"directory_role_assignments.tenant_id, directory_role_assignments.assignment_id": "a role assignment with that id exists in the tenant",

	"directory_links.tenant_id, directory_links.relation, directory_links.object_id, directory_links.target_id":                                              "the object has that owner or member already",
	"permission_grants.tenant_id, permission_grants.client_id, permission_grants.resource_id, permission_grants.user_id":                                     "the client has a grant on that resource already",
	"directory_role_assignments.tenant_id, directory_role_assignments.principal_id, directory_role_assignments.role_id, directory_role_assignments.scope_id": "the principal holds that role at that scope already",
	"azure_role_assignments.tenant_id, azure_role_assignments.scope_key, azure_role_assignments.assignment_id":                                               "a role assignment with that id exists at that scope",
	"azure_role_assignments.tenant_id, azure_role_assignments.principal_id, azure_role_assignments.scope_key, azure_role_assignments.role_id":                "the principal holds that role at that scope already",

	"signing_keys.key_id": "a signing key with that id exists",
	"signing_keys.state":  "another signing key is active",
}

// clash finds the words for "…UNIQUE constraint failed: t.a, t.b (2067)".
func clash(err error) string {
	_, columns, _ := strings.Cut(err.Error(), "UNIQUE constraint failed: ")
	if i := strings.LastIndex(columns, " ("); i >= 0 {
		columns = columns[:i]
	}
	if words, ok := clashes[columns]; ok {
		return words
	}
	return "the key " + columns + " is in use"
}
