package store

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
)

const someGUID = "11111111-1111-4111-8111-111111111111"

func TestDecodeNamesTableAndKey(t *testing.T) {
	for _, c := range []struct {
		decode func() error
		says   string
	}{
		{func() error { _, err := tenantRow{tenant: "x"}.decode(); return err }, `table tenants, key x: column tenant_id holds "x", which is not a lower-case GUID`},
		{func() error {
			_, err := tenantRow{strings.ToUpper("aaaaaaaa-1111-4111-8111-111111111111"), "a", "a", "", someGUID}.decode()
			return err
		}, "column tenant_id"},
		{func() error { _, err := tenantRow{someGUID, "A", "A", "", someGUID}.decode(); return err }, "column name_key"},
		{func() error {
			_, err := applicationRow{tenant: someGUID, object: someGUID, client: someGUID, name: "a", audience: "nobody", scopes: "[]", keys: "[]", kept: "{}"}.decode()
			return err
		}, `table applications, key ` + someGUID + "/" + someGUID + `: column audience holds "nobody"`},
		{func() error {
			_, err := applicationRow{tenant: someGUID, object: someGUID, client: someGUID, name: "a", audience: string(directory.SingleTenant), tokenVersion: 3}.decode()
			return err
		}, "column token_version"},
		{func() error {
			_, err := applicationRow{tenant: someGUID, object: someGUID, client: someGUID, name: "a", audience: string(directory.SingleTenant), disabled: 2}.decode()
			return err
		}, "column disabled"},
		{func() error { _, err := clientRow{someGUID, someGUID, "Robot", someGUID}.decode(); return err }, "column kind"},
		{func() error {
			_, err := hostRow{someGUID, someGUID, "h", "webApp", "", "", "", "x", "{}"}.decode()
			return err
		}, "column system_id"},
	} {
		if err := c.decode(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want %q", err, c.says)
		}
	}
}

// TestMalformedRowIsAnError: a row that the program cannot have written is not
// returned, and does no harm to others.
func TestMalformedRowIsAnError(t *testing.T) {
	path := t.TempDir() + "/avouch.db"
	db := openAt(t, path)
	good, bad := sampleTenant("good"), sampleTenant("bad")
	if err := insertTenant(db, good); err != nil {
		t.Fatal(err)
	}
	if err := insertTenant(db, bad); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, path, `UPDATE tenants SET subscription_id = 'nonsense' WHERE name = 'bad'`)
	db = openAt(t, path)
	d := db.Directory(directory.Global())
	if _, err := d.Tenant(ctx, good.ID.String()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := d.Tenant(ctx, bad.ID.String()); err == nil || !strings.Contains(err.Error(), "table tenants, key "+bad.ID.String()) {
			t.Errorf("got error %v, want one naming table and key", err)
		}
	}
}

// FuzzRows: no row makes a decoder panic, and what decodes encodes to the same row.
func FuzzRows(f *testing.F) {
	f.Add(someGUID, someGUID, someGUID, "AzureADMyOrg", "name", "name", "", int64(0), int64(1))
	f.Add(someGUID, someGUID, someGUID, "ManagedIdentity", "name", "name", someGUID, int64(1), int64(2))
	f.Add(someGUID, someGUID, someGUID, "UserAssigned", "name", "Name", someGUID, int64(1), int64(2))
	f.Add("", "\x00", someGUID[:35], "virtualMachine", "\xff", "N", "{"+someGUID+"}", int64(-1), int64(1<<62))
	f.Fuzz(func(t *testing.T, a, b, c, kind, text, key, more string, m, n int64) {
		same := func(got, want any, err error) {
			if err != nil || got != want {
				t.Errorf("got row %+v, error %v; want %+v", got, err, want)
			}
		}
		if r := (tenantRow{a, text, key, more, b}); true {
			if v, err := r.decode(); err == nil {
				back, err := encodeTenant(&v)
				same(back, r, err)
			}
		}
		if r := (applicationRow{a, b, c, text, fold(text), key, kind, m, n & 1, n, "[]", "[]", "{}"}); true {
			if v, err := r.decode(); err == nil {
				back, err := encodeApplication(&v)
				same(back, r, err)
			}
		}
		if r := (principalRow{a, b, c, kind, text, more, m, n & 1, n, "{}"}); true {
			if v, err := r.decode(); err == nil {
				back, err := encodePrincipal(&v)
				same(back, r, err)
			}
		}
		if r := (identityRow{a, b, c, kind, text, key, text, key, text, more, text, m, "{}"}); true {
			if v, err := r.decode(); err == nil {
				back, err := encodeIdentity(&v)
				same(back, r, err)
			}
		}
		if r := (hostRow{a, b, text, kind, text, text, key, more, "{}"}); true {
			if v, err := r.decode(); err == nil {
				back, err := encodeHost(&v)
				same(back, r, err)
			}
		}
		if r := (credentialRow{a, b, c, text, key, kind, more, text}); true {
			if v, err := r.decode(); err == nil {
				back, err := encodeCredential(directory.MustTenantID(a), directory.MustObjectID(b), &v)
				same(back, r, err)
			}
		}
		if r := (assignmentRow{a, b, c, b, more, n}); true {
			if v, err := r.decode(); err == nil {
				_, err := encodeAssignment(&v)
				if err != nil {
					t.Error(err)
				}
			}
		}
		_, _ = clientRow{a, b, kind, c}.decode()
		_, _ = roleRow{a, b, c, text, key, more, m, "[]"}.decode()
		_, _ = changeRow{a, n, m, kind, text, key, []byte(text), nil}.decode()
	})
}
