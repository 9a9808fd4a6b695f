package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"strconv"
	"time"
)

//go:embed migrations
var migrations embed.FS

const (
	sqliteMigrations = "migrations/sqlite"
	everyVersion     = math.MaxInt
)

type migration struct {
	version int
	name    string
	text    string
}

var migrationName = regexp.MustCompile(`^([0-9]{4})_[a-z0-9_]+\.sql$`)

// listMigrations reads the numbered files of a directory: 0001_….sql and on,
// without gaps. A file that was ever released is never changed.
func listMigrations(fsys fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(fsys, dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var list []migration
	for i, e := range entries {
		m := migrationName.FindStringSubmatch(e.Name())
		if m == nil {
			return nil, fmt.Errorf("migration %s is not named like 0001_what.sql", e.Name())
		}
		if version, err := strconv.Atoi(m[1]); err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s should have number %04d", e.Name(), i+1)
		}
		text, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		list = append(list, migration{i + 1, e.Name(), string(text)})
	}
	return list, nil
}

// migrate runs what is missing up to the version, each migration in one
// transaction with the row that says it was run: one that is interrupted leaves
// nothing behind.
func (db *DB) migrate(ctx context.Context, dir string, upTo int) error {
	list, err := listMigrations(migrations, dir)
	if err != nil {
		return err
	}
	present, err := db.schemaVersion(ctx)
	if err != nil {
		return err
	}
	if newest := len(list); present > newest {
		return fmt.Errorf("the database has schema version %d and this program knows %d at most: a newer avouch has used it; start that one, or restore a backup from before", present, newest)
	}
	for _, m := range list {
		if m.version <= present || m.version > upTo {
			continue
		}
		err := db.change(ctx, func(t *tx) error {
			if _, err := t.exec(m.text); err != nil {
				return err
			}
			_, err := t.exec(`INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)`,
				m.version, m.name, time.Now().UnixMicro())
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

// schemaVersion returns the version of the database, 0 for an empty one.
func (db *DB) schemaVersion(ctx context.Context) (int, error) {
	var name string
	err := db.writer.QueryRowContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name = 'schema_migrations' DESC LIMIT 1`).Scan(&name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, db.change(ctx, func(t *tx) error {
			_, err := t.exec(`CREATE TABLE schema_migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)`)
			return err
		})
	case err != nil:
		return 0, db.classify(err, false)
	case name != "schema_migrations":
		return 0, fmt.Errorf("the file is a database of another program: it has a table %q and no schema_migrations", name)
	}
	var count, last int
	err = db.writer.QueryRowContext(ctx, `SELECT count(*), coalesce(max(version), 0) FROM schema_migrations`).Scan(&count, &last)
	if err != nil {
		return 0, db.classify(err, false)
	}
	if count != last {
		return 0, fmt.Errorf("schema_migrations says version %d but lists %d migrations; restore a backup", last, count)
	}
	return last, nil
}
