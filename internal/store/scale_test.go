package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/store/storetest"
)

var ctx = context.Background()

// TestPlans: with the exceptions below, every statement that the package can
// run finds its rows by a key or an index, so that its cost does not grow with
// the rows of others.
func TestPlans(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "avouch.db"))
	statements := make(map[string]bool)
	db.Trace(func(sql string) { statements[sql] = true })
	runEverything(t, db)
	db.Trace(nil)

	wholeTables := map[string]string{ // statement → why
		"SELECT tenant_id, name, name_key, display_name, subscription_id FROM tenants ORDER BY name": "lists all tenants",
		"SELECT tenant_id, domain FROM tenant_domains ORDER BY tenant_id, position":                  "lists all tenants",
		"SELECT tenant_id FROM change_heads UNION SELECT tenant_id FROM changes ORDER BY 1":          "verifies all chains",
	}
	if len(statements) < 70 {
		t.Errorf("only %d statements were run", len(statements))
	}
	for sql := range statements {
		if strings.Contains(sql, "SAVEPOINT") || wholeTables[sql] != "" {
			continue
		}
		plan, err := db.Plan(ctx, sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		for _, step := range plan {
			scans := strings.HasPrefix(step, "SCAN")
			switch {
			case strings.Contains(sql, "FROM signing_keys ORDER BY"): // a handful
				continue
			case strings.HasPrefix(step, "SCAN json_each"): // the list that was asked for
				continue
			case scans && strings.Contains(sql, "LIMIT") && strings.Contains(step, "USING"): // walks an index as far as the limit
				continue
			}
			if scans || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s\n\t%s", sql, step)
			}
		}
	}
	for _, c := range []struct{ q, index string }{
		{"WHERE client_id = $1 AND tenant_id = $2 ORDER BY recorded_at DESC, id DESC LIMIT $3", "sign_ins_by_client "},
	} {
		plan, err := db.Plan(ctx, "SELECT record FROM sign_ins "+c.q)
		if err != nil || !strings.Contains(strings.Join(plan, "; "), c.index) {
			t.Errorf("%s: %q, error %v", c.q, plan, err)
		}
	}
}

// runEverything calls every method at least once.
func runEverything(t *testing.T, db *store.DB) {
	f := storetest.Fill(t, db, "contoso", 3)
	id, app, p := f.Tenant.ID, f.Apps[0], f.Principals[0]
	cred := storetest.NewCredential("another")
	err := db.Change(ctx, func(tx manage.Tx) error {
		var errs []error
		check := func(_ any, err error) { errs = append(errs, err) }
		check(tx.Tenants())
		check(tx.Tenant(id))
		check(tx.TenantByName("contoso"))
		check(tx.Applications(id))
		check(tx.Application(id, app.ID))
		check(tx.ApplicationsNamed(id, app.Name))
		check(tx.ApplicationByClientID(app.ClientID))
		check(tx.Principals(id))
		check(tx.Principal(id, p.ID))
		check(tx.PrincipalByClientID(id, p.ClientID))
		check(tx.PrincipalsOf(p.ClientID))
		check(tx.Identities(id))
		check(tx.Identity(id, f.Identity.PrincipalID))
		check(tx.IdentitiesNamed(id, "identity"))
		check(tx.Hosts(id))
		check(tx.HostByName(id, "host"))
		check(tx.Credentials(id, app.ID))
		grants, err := tx.Assignments(id)
		if len(grants) == 2 && grants[0].Principal == f.Principals[1].ID { // that one is asked about below
			grants = grants[1:]
		}
		return errors.Join(append(errs, err,
			tx.UpdateTenant(f.Tenant), tx.UpdateApplication(app), tx.UpdatePrincipal(p), tx.UpdateIdentity(f.Identity), tx.UpdateHost(f.Host),
			tx.InsertCredential(id, app.ID, cred), tx.UpdateCredential(id, app.ID, cred), tx.DeleteCredential(id, app.ID, cred.ID),
			tx.DeleteAssignment(id, grants[0].ID), tx.AppendChange(audit.Change{Tenant: id}))...)
	})
	if err != nil {
		t.Fatal(err)
	}
	d := db.Directory(directory.Global())
	for _, read := range everyRead(d, f) {
		if err := read.once(1); err != nil {
			t.Fatal(err)
		}
	}
	// A credential-less parent is looked for.
	if err := db.View(ctx, func(tx manage.Tx) error {
		_, err := tx.Credentials(id, directory.NewObjectID())
		return err
	}); !errors.Is(err, directory.ErrNotFound) {
		t.Fatal(err)
	}
	if err := db.Change(ctx, func(tx manage.Tx) error {
		return errors.Join(tx.DeleteHost(id, f.Host.ID), tx.DeleteIdentity(id, f.Identity.PrincipalID), tx.DeletePrincipal(id, p.ID), tx.DeleteApplication(id, app.ID))
	}); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	client := directory.NewClientID()
	if err := db.RecordSignIns(ctx, []audit.SignIn{{Time: at, Tenant: id, ClientID: client}}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []audit.Query{{}, {Tenant: id}, {Client: client.String()}, {Client: "name"}, {Since: at}, {Tenant: id, Since: at}, {Tenant: id, Client: "name", Outcome: audit.Refused, Since: at}} {
		if _, err := db.SignIns(ctx, q); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Changes(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	_, err1 := db.PruneSignIns(ctx, at.Add(time.Hour), 10)
	_, err2 := db.Keys(ctx)
	key := keyring.Record{ID: "a", State: keyring.Prepared, Sealed: []byte("x"), Certificate: []byte("x")}
	err3 := db.CreateKey(ctx, key)
	key.State, key.Version = keyring.Active, 1
	err4 := db.Activate(ctx, key, nil)
	err5 := db.DeleteKey(ctx, "a", 2)
	err6 := db.SetMeta(ctx, "a", "b")
	_, err7 := db.Meta(ctx, "a")
	if err := errors.Join(db.VerifyChanges(ctx), err1, err2, err3, err4, err5, err6, err7); err != nil {
		t.Fatal(err)
	}
}

type reading struct {
	name string
	once func(i int) error
}

// everyRead is each method of the directory, asked about the i-th application.
func everyRead(d *store.Directory, f *storetest.Filled) []reading {
	id := f.Tenant.ID
	text := id.String()
	return []reading{
		{"TenantByID", func(int) error { _, err := d.Tenant(ctx, text); return err }},
		{"TenantByDomain", func(int) error { _, err := d.Tenant(ctx, f.Tenant.Domains[0]); return err }},
		{"Client", func(i int) error { _, err := d.Client(ctx, f.Apps[i].ClientID); return err }},
		{"ClientIdentity", func(int) error { _, err := d.Client(ctx, f.Identity.ClientID); return err }},
		{"Principal", func(i int) error { _, err := d.Principal(ctx, id, f.Apps[i].ClientID); return err }},
		{"Resource", func(i int) error { _, err := d.Resource(ctx, id, f.Apps[i].IdentifierURIs[0]); return err }},
		{"Roles", func(i int) error {
			roles, err := d.Roles(ctx, id, f.Principals[i].ID, f.Principals[i-1].ID)
			if err == nil && len(roles) != 1 {
				err = fmt.Errorf("got roles %q", roles)
			}
			return err
		}},
		{"Identity", func(int) error { _, err := d.Identity(ctx, id, f.Identity.PrincipalID); return err }},
		{"Host", func(int) error { _, err := d.Host(ctx, id, f.Host.ID); return err }},
	}
}

// BenchmarkHit is a read that is in memory.
func BenchmarkHit(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "avouch.db"))
	f := storetest.Fill(b, db, "contoso", 100)
	d := db.Directory(directory.Global())
	for _, read := range everyRead(d, f) {
		b.Run(read.name, func(b *testing.B) {
			for i := range 99 {
				if err := read.once(i + 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if err := read.once(1 + i%99); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("NotFound", func(b *testing.B) {
		id := directory.NewClientID()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Client(ctx, id); err == nil {
				b.Fatal("found")
			}
		}
	})
	b.Run("Parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				_, _ = d.Client(ctx, f.Apps[i%100].ClientID)
			}
		})
	})
}

// BenchmarkMiss is a read that has to go to the database, with few and with
// many applications in it: the cost should be about the same.
func BenchmarkMiss(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		db := open(b, filepath.Join(b.TempDir(), "avouch.db"))
		start := time.Now()
		f := storetest.Fill(b, db, "contoso", n)
		b.Logf("%d applications written in %v", n, time.Since(start))
		for _, read := range []string{"Client", "Principal", "Resource", "Roles"} {
			b.Run(fmt.Sprintf("%s/%d", read, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					d := db.Directory(directory.Global())
					b.StartTimer()
					for _, r := range everyRead(d, f) {
						if r.name == read {
							if err := r.once(1 + rand.IntN(n-1)); err != nil {
								b.Fatal(err)
							}
						}
					}
				}
			})
		}
	}
}

// BenchmarkWrite is one acknowledged change of one row, with its audit record.
func BenchmarkWrite(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "avouch.db"))
	f := storetest.Fill(b, db, "contoso", 10)
	for b.Loop() {
		if err := db.Change(ctx, func(tx manage.Tx) error {
			return errors.Join(tx.UpdateIdentity(f.Identity), tx.AppendChange(audit.Change{Tenant: f.Tenant.ID, Action: "update"}))
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSignIns is one record in a batch of 100.
func BenchmarkSignIns(b *testing.B) {
	db := open(b, filepath.Join(b.TempDir(), "avouch.db"))
	batch := make([]audit.SignIn, 100)
	for b.Loop() {
		for i := range batch {
			batch[i] = audit.SignIn{ID: directory.NewObjectID().String(), Time: time.Now(), Tenant: directory.NewTenantID(), ClientName: "orders", Outcome: audit.Succeeded}
		}
		if err := db.RecordSignIns(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
}
