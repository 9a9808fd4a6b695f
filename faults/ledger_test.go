//go:build faults && unix

package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/store"
	_ "modernc.org/sqlite" // a handle of our own on the file
)

// state is the applications of one writer's tenant.
type state map[string]application

type application struct {
	URI         string            // changes with every update
	Role        string            // changes together with the URI
	Credentials map[string]string // name to subject
}

func (s state) clone() state {
	c := make(state, len(s))
	for name, app := range s {
		app.Credentials = maps.Clone(app.Credentials)
		c[name] = app
	}
	return c
}

const (
	mostApplications = 6
	mostCredentials  = 4
)

// mutate makes one change, of one object or of several that belong together.
func (s state) mutate(r *rand.Rand, tenant string, serial int) {
	name := fmt.Sprintf("app-%d", r.IntN(mostApplications))
	app, exists := s[name]
	switch {
	case exists && r.IntN(4) == 0:
		delete(s, name)
		return
	case !exists:
		app.Credentials = make(map[string]string)
		for i := range r.IntN(mostCredentials) {
			app.Credentials[fmt.Sprintf("credential-%d", i)] = fmt.Sprintf("subject-%d-%d", serial, i)
		}
	case r.IntN(2) == 0:
		credential := fmt.Sprintf("credential-%d", r.IntN(mostCredentials))
		if _, there := app.Credentials[credential]; there && r.IntN(2) == 0 {
			delete(app.Credentials, credential)
		} else {
			app.Credentials[credential] = fmt.Sprintf("subject-%d", serial)
		}
		s[name] = app
		return
	}
	app.URI = fmt.Sprintf("api://%s-%s-%d", tenant, name, serial)
	app.Role = fmt.Sprintf("Role.%d", serial)
	s[name] = app
}

// yaml is the state as a declarative file.
func (s state) yaml(tenant string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tenants:\n  - name: %s\n    applications:", tenant)
	if len(s) == 0 {
		b.WriteString(" []")
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(s)) {
		app := s[name]
		fmt.Fprintf(&b, "      - name: %s\n        identifierUris: [%q]\n        appRoles: [{value: %s, displayName: a role}]\n        federatedIdentityCredentials:", name, app.URI, app.Role)
		if len(app.Credentials) == 0 {
			b.WriteString(" []")
		}
		b.WriteByte('\n')
		for _, credential := range slices.Sorted(maps.Keys(app.Credentials)) {
			fmt.Fprintf(&b, "          - {name: %s, issuer: \"https://issuer.example/%s\", subject: %s, audiences: [\"api://AzureADTokenExchange\"]}\n",
				credential, tenant, app.Credentials[credential])
		}
	}
	return b.String()
}

// writer changes the applications of a tenant of its own, one change after the
// other, and keeps the ledger of what was acknowledged.
type writer struct {
	tenant  string
	rand    *rand.Rand
	serial  int
	acked   state
	records int   // audit records of the acknowledged changes
	pending state // sent, not acknowledged; nil when there is none
	writes  int
}

func newWriters(n int, seed uint64) []*writer {
	var all []*writer
	for i := range n {
		all = append(all, &writer{
			tenant: fmt.Sprintf("writer-%d", i), rand: rand.New(rand.NewPCG(seed, uint64(i))), acked: state{},
		})
	}
	return all
}

// begin makes the writer's tenant.
func (w *writer) begin(ctx context.Context, client *controlapi.Client) error {
	answer, err := client.Apply(ctx, file(w.acked.yaml(w.tenant)))
	if err != nil {
		return err
	}
	w.records = len(answer.Plan.Steps)
	return nil
}

// write makes one change and notes whether it was acknowledged.
func (w *writer) write(ctx context.Context, client *controlapi.Client) error {
	w.serial++
	next := w.acked.clone()
	next.mutate(w.rand, w.tenant, w.serial)
	if reflect.DeepEqual(next, w.acked) {
		return nil
	}
	w.pending = next
	answer, err := client.Apply(ctx, file(next.yaml(w.tenant)))
	if err != nil {
		return err
	}
	w.acked, w.pending = next, nil
	w.records += len(answer.Plan.Steps)
	w.writes++
	return nil
}

// settle compares the ledger with what the file holds: the last acknowledged
// state, or wholly the one that was under way.
func (w *writer) settle(t *testing.T, found *contents) {
	t.Helper()
	records := found.records[w.tenant]
	got := found.states[w.tenant]
	if got == nil {
		got = state{}
	}
	switch {
	case reflect.DeepEqual(got, w.acked):
		if records != w.records {
			t.Errorf("%s: there are %d audit records of %d acknowledged changes", w.tenant, records, w.records)
		}
	case w.pending != nil && reflect.DeepEqual(got, w.pending):
		if records <= w.records {
			t.Errorf("%s: a change was kept without its audit record", w.tenant)
		}
	default:
		t.Fatalf("%s: the directory is neither what was acknowledged last nor what was under way\nfound        %v\nacknowledged %v\nunder way    %v",
			w.tenant, got, w.acked, w.pending)
	}
	w.acked, w.pending, w.records = got, nil, records
}

// matches asks the running platform whether it sees the ledger's state.
func (w *writer) matches(t *testing.T, client *controlapi.Client) {
	t.Helper()
	request := file(w.acked.yaml(w.tenant))
	request.DryRun = true
	answer, err := client.Apply(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if !answer.Empty {
		t.Fatalf("%s: the platform sees another directory than the file holds:\n%s", w.tenant, answer.Diff)
	}
}

// contents is what a database file holds, read without the program.
type contents struct {
	states  map[string]state
	records map[string]int // audit records of successful changes, by tenant name
	keys    []string
}

// examine reads the database of a platform that has ended, from a copy: the
// program shall be the first to open the file itself after a crash.
func examine(t *testing.T, dir string) *contents {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "avouch.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(copied+suffix, filepath.Join(dir, "avouch.db"+suffix)); err != nil && (suffix == "" || !errors.Is(err, os.ErrNotExist)) {
			t.Fatal(err)
		}
	}
	defer func() { _ = os.RemoveAll(filepath.Dir(copied)) }()
	db, err := sql.Open("sqlite", copied)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, verdict := range query[string](t, db, "PRAGMA integrity_check") {
		if verdict[0] != "ok" {
			t.Fatalf("the database is corrupt: %v", verdict)
		}
	}
	if broken := query[any](t, db, "PRAGMA foreign_key_check"); len(broken) > 0 {
		t.Fatalf("references lead nowhere: %v", broken)
	}
	found := readContents(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	own, err := store.OpenSQLite(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	if err := own.VerifyChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}

func readContents(t *testing.T, db *sql.DB) *contents {
	t.Helper()
	found := &contents{states: make(map[string]state), records: make(map[string]int)}
	for _, row := range query[string](t, db, `SELECT t.name, a.name,
		coalesce((SELECT uri FROM application_uris u WHERE u.tenant_id = a.tenant_id AND u.application_id = a.object_id), ''),
		coalesce((SELECT value FROM app_roles r WHERE r.tenant_id = a.tenant_id AND r.application_id = a.object_id), '')
		FROM applications a JOIN tenants t USING (tenant_id)`) {
		tenant, name := row[0], row[1]
		if found.states[tenant] == nil {
			found.states[tenant] = make(state)
		}
		found.states[tenant][name] = application{URI: row[2], Role: row[3], Credentials: make(map[string]string)}
	}
	for _, row := range query[string](t, db, `SELECT t.name, coalesce(a.name, ''), c.name, c.subject FROM federated_credentials c
		JOIN tenants t USING (tenant_id) LEFT JOIN applications a ON a.tenant_id = c.tenant_id AND a.object_id = c.parent_id`) {
		app, ok := found.states[row[0]][row[1]]
		if !ok {
			t.Fatalf("credential %s of %s outlived its application", row[2], row[0])
		}
		app.Credentials[row[2]] = row[3]
	}
	for _, row := range query[any](t, db, `SELECT t.name, count(*) FROM changes JOIN tenants t USING (tenant_id) WHERE outcome = 'success' GROUP BY t.name`) {
		name, _ := row[0].(string)
		count, _ := row[1].(int64)
		found.records[name] = int(count)
	}
	for _, row := range query[string](t, db, "SELECT key_id FROM signing_keys") {
		found.keys = append(found.keys, row[0])
	}
	sort.Strings(found.keys)
	return found
}

// query reads all rows.
func query[T any](t *testing.T, db *sql.DB, text string) [][]T {
	t.Helper()
	rows, err := db.Query(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]T
	for rows.Next() {
		row := make([]T, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return all
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
