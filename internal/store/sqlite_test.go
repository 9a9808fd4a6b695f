package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
)

var ctx = context.Background()

func openAt(t testing.TB, path string) *DB {
	t.Helper()
	db, err := OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func openTemp(t testing.TB) *DB { return openAt(t, filepath.Join(t.TempDir(), "avouch.db")) }

// raw runs SQL behind the program's back, on a closed database.
func raw(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func sampleTenant(name string) *directory.Tenant {
	return &directory.Tenant{ID: directory.NewTenantID(), Name: name, Domains: []string{name + ".example"}, Subscription: directory.NewObjectID()}
}

func insertTenant(db *DB, n *directory.Tenant) error {
	return db.Change(ctx, func(tx manage.Tx) error { return tx.InsertTenant(n) })
}

func tenantNames(t testing.TB, db *DB) (names []string) {
	t.Helper()
	err := db.View(ctx, func(tx manage.Tx) error {
		list, err := tx.Tenants()
		for _, n := range list {
			names = append(names, n.Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a %41?#ü.db")
	db := openAt(t, path)
	for _, name := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, info.Mode().Perm())
		}
	}
	if err := insertTenant(db, sampleTenant("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSQLite(ctx, path); problem.KindOf(err) != problem.Conflict {
		t.Errorf("opening twice: got %v, want a conflict", err)
	}
	for range 2 {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := insertTenant(db, sampleTenant("two")); err == nil {
		t.Error("a closed database took a write")
	}
	if got := tenantNames(t, openAt(t, path)); !cmp.Equal(got, []string{"one"}) {
		t.Errorf("after opening again: tenants %q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	ours := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "avouch.db")
		if err := openAt(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newest := newestVersion(t)
	for _, c := range []struct {
		name string
		path func(t *testing.T) string
		says string
	}{
		{"no directory", func(*testing.T) string { return filepath.Join(dir, "missing", "avouch.db") }, "no such file"},
		{"newer schema", func(t *testing.T) string {
			path := ours(t)
			raw(t, path, fmt.Sprintf(`INSERT INTO schema_migrations VALUES (%d, 'future.sql', 0)`, newest+1))
			return path
		}, fmt.Sprintf("schema version %d and this program knows %d at most", newest+1, newest)},
		{"gap in the migrations", func(t *testing.T) string {
			path := ours(t)
			raw(t, path, `DELETE FROM schema_migrations WHERE version = 2`)
			return path
		}, fmt.Sprintf("lists %d migrations", newest-1)},
		{"another program's database", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "other.db")
			raw(t, path, `CREATE TABLE bookmarks (url TEXT)`)
			return path
		}, `another program: it has a table "bookmarks"`},
		{"no database", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "text")
			if err := os.WriteFile(path, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "not an SQLite database"},
		{"damaged", func(t *testing.T) string {
			path := ours(t)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte(strings.Repeat("x", 4096)), 3*4096); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			return path
		}, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, err := OpenSQLite(ctx, c.path(t))
			if err == nil {
				_ = db.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got error %v, want one saying %q", err, c.says)
			}
		})
	}
}

func TestNewEnough(t *testing.T) {
	for version, want := range map[string]bool{
		"3.51.3": true, "3.51.10": true, "3.52.0": true, "4.0.0": true,
		"3.51.2": false, "3.9.9": false, "2.99.99": false, "": false, "3.51.x": false,
	} {
		if got := newEnough(version); got != want {
			t.Errorf("%q: got %v", version, got)
		}
	}
}

func TestSettings(t *testing.T) {
	db := openTemp(t)
	for name, pool := range map[string]*sql.DB{"writer": db.writer, "reader": db.reader} {
		want := map[string]string{
			"synchronous": "2", "foreign_keys": "1", "mmap_size": "0", "journal_mode": "wal", "busy_timeout": "5000",
			"temp_store": "2", "wal_autocheckpoint": "0", "cache_size": "-4000", "query_only": "0", "secure_delete": "2", "trusted_schema": "0",
		}
		if name == "reader" {
			want["query_only"], want["cache_size"] = "1", "-1000"
		}
		for pragma, value := range want {
			var got string
			if err := pool.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != value {
				t.Errorf("%s: %s is %q, error %v; want %q", name, pragma, got, err, value)
			}
		}
	}
	if _, err := db.reader.Exec(`DELETE FROM tenants`); err == nil {
		t.Error("a reading connection wrote")
	}
}

func TestMigrationNames(t *testing.T) {
	for _, c := range []struct{ files, says string }{
		{"0001_a.sql 0002_b.sql", ""},
		{"0001_a.sql 0003_b.sql", "0002"},
		{"0002_a.sql", "0001"},
		{"0001_a.sql 0001_b.sql", "0002"},
		{"1_a.sql", "not named"},
		{"0001_a.sql README.md", "not named"},
	} {
		fsys := fstest.MapFS{}
		for name := range strings.FieldsSeq(c.files) {
			fsys["m/"+name] = &fstest.MapFile{Data: []byte("x")}
		}
		_, err := listMigrations(fsys, "m")
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got error %v, want %q", c.files, err, c.says)
		}
	}
}

// TestMigrationsAreWhole: what was run before an interruption stays, the rest
// is run the next time, and half a migration leaves nothing.
func TestMigrationsAreWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "avouch.db")
	openVersion(t, path, 1)
	raw(t, path, `CREATE TABLE sign_ins (squatter TEXT)`) // 0002 fails in the middle
	if db, err := OpenSQLite(ctx, path); err == nil || !strings.Contains(err.Error(), "0002_audit.sql") {
		_ = db.Close()
		t.Fatalf("got %v, want a failed migration", err)
	}
	raw(t, path, `DROP TABLE sign_ins`)
	db := openAt(t, path)
	if v, err := db.schemaVersion(ctx); v != newestVersion(t) || err != nil {
		t.Errorf("schema version %d, error %v; want %d", v, err, newestVersion(t))
	}
}

func newestVersion(t *testing.T) int {
	t.Helper()
	list, err := listMigrations(migrations, sqliteMigrations)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// openVersion makes a database as a program with fewer migrations left it.
func openVersion(t *testing.T, path string, version int) {
	t.Helper()
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	db := &DB{unlock: func() error { return nil }}
	var err error
	if db.writer, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		t.Fatal(err)
	}
	db.writer.SetMaxOpenConns(1)
	if err := db.migrate(ctx, sqliteMigrations, version); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOldRowsLoad: for every schema version that changed what rows say there is a
// fixture of rows as they were written then. They are still read, after all later
// migrations.
func TestOldRowsLoad(t *testing.T) {
	list, err := listMigrations(migrations, sqliteMigrations)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "avouch.db")
	for _, m := range list {
		if !strings.Contains(m.text, "TABLE") { // indexes only
			continue
		}
		fixture, err := os.ReadFile(filepath.Join("testdata", "rows", fmt.Sprintf("%04d.sql", m.version)))
		if err != nil {
			t.Fatalf("every schema version needs a fixture of its rows: %v", err)
		}
		openVersion(t, path, m.version)
		raw(t, path, string(fixture))
	}
	db := openAt(t, path)
	one := directory.MustTenantID("11111111-1111-4111-8111-111111111111")
	obj := func(n int) directory.ObjectID {
		return directory.MustObjectID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n))
	}
	err = db.View(ctx, func(tx manage.Tx) error {
		tenant, err1 := tx.TenantByName("CONTOSO")
		apps, err2 := tx.ApplicationsNamed(one, "orders")
		principals, err3 := tx.Principals(one)
		identities, err4 := tx.IdentitiesNamed(one, "orders-id")
		host, err5 := tx.HostByName(one, "vm")
		credentials, err6 := tx.Credentials(one, obj(1))
		grants, err7 := tx.Assignments(one)
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
			return err
		}
		app := apps[0]
		if tenant.Domains[1] != "b.contoso.example" || app.AppRoles[0].Value != "Read" || len(app.IdentifierURIs) != 1 || len(principals) != 2 ||
			principals[0].Names[0] != "api://orders" || identities[0].Kind != directory.UserAssigned || host.Identities[0] != identities[0].PrincipalID ||
			credentials[0].Subject != "subject" || !grants[0].Created.Equal(time.UnixMicro(1795309323456789)) {
			t.Errorf("rows changed on their way: %+v", []any{tenant, app, principals, identities, host, credentials, grants})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	d := db.Directory(directory.Global())
	if c, err := d.Client(ctx, directory.MustClientID("22222222-2222-4222-8222-222222222222")); err != nil || c.Object != obj(1) {
		t.Errorf("client: %v, %v", c, err)
	}
	if err := db.VerifyChanges(ctx); err != nil {
		t.Error(err)
	}
	if changes, err := db.Changes(ctx, audit.Query{Tenant: one}); err != nil || len(changes) != 1 || changes[0].Action != "create" {
		t.Errorf("changes: %v, %v", changes, err)
	}
	if signIns, err := db.SignIns(ctx, audit.Query{Tenant: one}); err != nil || len(signIns) != 1 || signIns[0].Code != 700213 {
		t.Errorf("sign-ins: %v, %v", signIns, err)
	}
	if keys, err := db.Keys(ctx); err != nil || len(keys) != 1 || keys[0].Version != 2 {
		t.Errorf("keys: %v, %v", keys, err)
	}
	if cloud, err := db.Meta(ctx, "cloud"); err != nil || cloud != "global" {
		t.Errorf("meta: %q, %v", cloud, err)
	}
}

// TestEveryKeyHasWords: each unique key of the schema is known to clashes.
func TestEveryKeyHasWords(t *testing.T) {
	db := openTemp(t)
	rows, err := db.writer.Query(`SELECT m.name, i.name FROM sqlite_schema AS m JOIN pragma_index_list(m.name) AS i WHERE m.type = 'table' AND i."unique" = 1`)
	if err != nil {
		t.Fatal(err)
	}
	type index struct{ table, name string }
	var indexes []index
	for rows.Next() {
		var i index
		if err := rows.Scan(&i.table, &i.name); err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, i)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, i := range indexes {
		rows, err := db.writer.Query(`SELECT name FROM pragma_index_info($1) ORDER BY seqno`, i.name)
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for rows.Next() {
			var c string
			if err := rows.Scan(&c); err != nil {
				t.Fatal(err)
			}
			columns = append(columns, i.table+"."+c)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		key := strings.Join(columns, ", ")
		// Positions are counted, and these tables are written by one method each.
		if strings.Contains(key, "position") || strings.HasPrefix(key, "change") || strings.HasPrefix(key, "sign_ins") || strings.HasPrefix(key, "platform_facts") {
			continue
		}
		if seen++; clashes[key] == "" {
			t.Errorf("no words for the key %q", key)
		}
	}
	if seen != len(clashes) {
		t.Errorf("%d keys and %d entries of clashes", seen, len(clashes))
	}
}

func TestTamperedChain(t *testing.T) {
	for _, c := range []struct{ name, edit, says string }{
		{"untouched", `SELECT 1`, ""},
		{"altered record", `UPDATE changes SET record = replace(record, 'alice', 'mallory') WHERE sequence = 2`, "at record 2: its hash"},
		{"altered record and hash", `UPDATE changes SET record = replace(record, 'alice', 'mallory'), hash = zeroblob(32) WHERE sequence = 2`, "at record 2: its hash"},
		{"removed from the middle", `DELETE FROM changes WHERE sequence = 2`, "at record 2"},
		{"removed from the beginning", `DELETE FROM changes WHERE sequence = 1`, "at record 1"},
		{"cut off", `DELETE FROM changes WHERE sequence = 3`, "at record 3: it is missing, and the chain should end at record 3"},
		{"cut off with its head", `DELETE FROM changes WHERE sequence = 3; UPDATE change_heads SET sequence = 2`, "at record 2: it is not where"},
		{"head gone", `DELETE FROM change_heads`, "at record 3: it is not where"},
		{"all gone", `DELETE FROM changes`, "at record 1: it is missing"},
		{"swapped", `UPDATE changes SET sequence = 9 WHERE sequence = 2; UPDATE changes SET sequence = 2 WHERE sequence = 3; UPDATE changes SET sequence = 3 WHERE sequence = 9`, "at record 2"},
		{"added", `INSERT INTO changes SELECT tenant_id, 4, recorded_at, outcome, target_id, target_name, replace(record, '"sequence":3', '"sequence":4'), hash FROM changes WHERE sequence = 3`, "at record 4: its hash"},
		{"search column", `UPDATE changes SET target_name = 'other' WHERE sequence = 1`, "at record 1: store: table changes"},
		{"time column", `UPDATE changes SET recorded_at = 1 WHERE sequence = 1`, "at record 1: store: table changes"},
		{"other tenant", `UPDATE changes SET tenant_id = '` + directory.NewTenantID().String() + `' WHERE sequence = 3`, "is broken at record"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "avouch.db")
			db := openAt(t, path)
			tenant := directory.NewTenantID()
			for n := range 3 {
				if err := db.Change(ctx, func(tx manage.Tx) error {
					return tx.AppendChange(audit.Change{ID: fmt.Sprint(n), Tenant: tenant, Actor: audit.Actor{Name: "alice"}, Time: time.Now()})
				}); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			raw(t, path, c.edit)
			err := openAt(t, path).VerifyChanges(ctx)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// engineError stands for an error of the engine.
type engineError int

func (e engineError) Error() string { return fmt.Sprintf("engine error (%d)", int(e)) }
func (e engineError) Code() int     { return int(e) }

func TestSuspect(t *testing.T) {
	const ioErrFsync, ioErrRead, full, corrupt, shmSize = 1034, 266, 13, 11, 4874
	for _, c := range []struct {
		name    string
		at      phase
		code    int
		suspect bool
		unknown bool
	}{
		{"sync fails in a commit", committing, ioErrFsync, true, true},
		{"corruption shows in a commit", committing, corrupt, true, true},
		{"disk full in a commit", committing, full, false, false},
		{"index of the log does not grow", committing, shmSize, false, false},
		{"sync fails in a checkpoint", checkpointing, ioErrFsync, true, false},
		{"disk full in a checkpoint", checkpointing, full, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "avouch.db")
			db := openAt(t, path)
			d := db.Directory(directory.Global())
			known := sampleTenant("known")
			if err := insertTenant(db, known); err != nil {
				t.Fatal(err)
			}
			db.pending = logPages
			db.fault = func(at phase) error {
				if at == c.at {
					return engineError(c.code)
				}
				return nil
			}
			err := insertTenant(db, sampleTenant("hit"))
			if c.at == committing {
				if problem.KindOf(err) != problem.Unavailable || errors.Is(err, ErrUnknownOutcome) != c.unknown {
					t.Errorf("got error %v", err)
				}
			} else if err != nil {
				t.Errorf("a commit was reported as failed because of what came after it: %v", err)
			}
			db.fault = nil
			err = insertTenant(db, sampleTenant("later"))
			if (err != nil) != c.suspect || err != nil && problem.KindOf(err) != problem.Unavailable {
				t.Errorf("the next write: %v", err)
			}
			if (db.Suspect() != nil) != c.suspect {
				t.Errorf("suspect: %v", db.Suspect())
			}
			for _, write := range []func() error{
				func() error { return db.SetMeta(ctx, "a", "b") },
				func() error { return db.RecordSignIns(ctx, make([]audit.SignIn, 1)) },
			} {
				if err := write(); (err != nil) != c.suspect {
					t.Errorf("another kind of write: %v", err)
				}
			}
			// Reads go on.
			if len(tenantNames(t, db)) == 0 {
				t.Error("nothing is read")
			}
			if _, err := d.Tenant(ctx, known.ID.String()); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := insertTenant(openAt(t, path), sampleTenant("reopened")); err != nil {
				t.Errorf("after opening again: %v", err)
			}
		})
	}
	db := openTemp(t)
	if err := db.classify(engineError(ioErrRead), false); problem.KindOf(err) != problem.Unavailable || db.Suspect() != nil {
		t.Errorf("a failed read: %v, suspect %v", err, db.Suspect())
	}
}

// TestBrokenTransaction: after a failure by which the engine may have ended the
// transaction, nothing more is run in it, whatever the caller does.
func TestBrokenTransaction(t *testing.T) {
	db := openTemp(t)
	err := db.change(ctx, func(t *tx) error {
		_ = t.InsertTenant(sampleTenant("before"))
		_, _ = t.exec(`ROLLBACK`) // as a full disk would
		_, _ = t.exec(`NO SQL`)
		_ = t.InsertTenant(sampleTenant("after"))
		return nil
	})
	if err == nil {
		t.Error("the write was acknowledged")
	}
	if got := tenantNames(t, db); got != nil {
		t.Errorf("tenants %q were kept", got)
	}
	if err := insertTenant(db, sampleTenant("next")); err != nil {
		t.Error(err)
	}
}

// TestLogStaysSmall: the write-ahead log is copied into the database again and
// again, although SQLite was told not to.
func TestLogStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "avouch.db")
	db := openAt(t, path)
	for range 2000 {
		if err := db.SetMeta(ctx, "key", strings.Repeat("x", 3000)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 8<<20 {
		t.Errorf("the log has %d bytes", info.Size())
	}
}

// TestDiskFull runs on a file system of 2 MB.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	path := filepath.Join(dir, "avouch.db")
	db, err := OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	d := db.Directory(directory.Global())
	known := sampleTenant("known")
	if err := insertTenant(db, known); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Tenant(ctx, known.ID.String()); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)

	acknowledged := []string{"known"}
	failed := 0
	for n := 0; failed < 20; n++ {
		name := fmt.Sprintf("tenant-%04d", n)
		next := sampleTenant(name)
		next.DisplayName = strings.Repeat("x", 5000)
		switch err := insertTenant(db, next); {
		case err == nil:
			acknowledged = append(acknowledged, name)
		case problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "the disk is full"):
			t.Fatalf("got error %v, want one saying that the disk is full", err)
		default:
			failed++
		}
		if n > 5000 {
			t.Fatal("the disk does not fill")
		}
	}
	if err := db.RecordSignIns(ctx, []audit.SignIn{{ID: "x", Detail: strings.Repeat("x", 1<<20)}}); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("sign-ins: %v", err)
	}
	// Reads go on, from memory and from the file.
	if _, err := d.Tenant(ctx, known.ID.String()); err != nil {
		t.Error(err)
	}
	if _, err := d.Tenant(ctx, known.Domains[0]); err != nil {
		t.Error(err)
	}
	if got := tenantNames(t, db); !cmp.Equal(got, acknowledged) {
		t.Errorf("%d tenants are there, %d were acknowledged", len(got), len(acknowledged))
	}
	if err := db.Suspect(); err != nil {
		t.Error(err)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := insertTenant(db, sampleTenant("zz-later")); err != nil {
		t.Errorf("with space again: %v", err)
	}
	acknowledged = append(acknowledged, "zz-later")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if got := tenantNames(t, again); !cmp.Equal(got, acknowledged) {
		t.Errorf("after opening again %d tenants are there, %d were acknowledged", len(got), len(acknowledged))
	}
}

// fill writes until the disk is full, and leaves about 100 kB.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var size int64
	for block := make([]byte, 4096); ; size += 4096 {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	if err := f.Truncate(max(0, size-100<<10)); err != nil {
		t.Fatal(err)
	}
}
