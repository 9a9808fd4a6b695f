package graphapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
)

// TestApplicationDevelopersCreateForThemselves: who may create what he then owns
// becomes its owner, and stands for no application but his own.
func TestApplicationDevelopersCreateForThemselves(t *testing.T) {
	const applicationDeveloper = "cf1c38e5-3621-4004-a7cb-879624dced7c"
	p := newPlatform(t)
	dev := p.user("dev", "contoso.example", applicationDeveloper)
	_, foreign := p.register(`{"displayName":"not his"}`)
	shared := p.foreignApp("shared")
	for _, appID := range []string{foreign, shared.ClientID.String()} {
		if a := p.as("dev", "POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`); a.status != http.StatusForbidden {
			t.Errorf("provisioned %s: %d %s", appID, a.status, a.text)
		}
	}
	made := p.as("dev", "POST", "/v1.0/applications", `{"displayName":"his"}`)
	if made.status != http.StatusCreated {
		t.Fatal(made.text)
	}
	for path, body := range map[string]string{"/v1.0/applications/" + made.str("id"): "", "/v1.0/servicePrincipals": `{"appId":"` + made.str("appId") + `"}`} {
		if body != "" {
			a := p.as("dev", "POST", path, body)
			if a.status != http.StatusCreated {
				t.Fatal(a.text)
			}
			path += "/" + a.str("id")
		}
		if v := p.must(http.StatusOK, "GET", path+"/owners", "").values(); len(v) != 1 || v[0]["id"] != dev.Principal.String() {
			t.Errorf("owners of %s: %v", path, v)
		}
	}
}

// TestNobodyIsLockedOutByGroups: groups that others put an administrator in take
// nothing from him.
func TestNobodyIsLockedOutByGroups(t *testing.T) {
	w := newTown(t)
	const many = 1001
	admin := directory.Reference{ID: directory.MustObjectID(w.ids["admin"]), Kind: directory.UserObject}
	if err := w.db.Change(t.Context(), func(tx manage.Tx) error {
		for i := range many {
			g := directory.Group{Tenant: w.tenant, ID: directory.NewObjectID(), Name: fmt.Sprint("trap", i), Created: w.clock}
			if err := tx.InsertGroup(&g); err != nil {
				return err
			}
			if err := tx.InsertLink(w.tenant, directory.MemberRelation, g.ID, admin); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.as("admin").want(http.StatusCreated, "POST", "/applications", `{"displayName":"still here"}`)
	if _, err := w.service.Operator(t.Context(), operator, w.tenant); err != nil {
		t.Error(err)
	}
}

// TestNobodyPosesAsTheOperator: the operator's user is found by its name, which
// no caller gives to another; and it cannot be kept away by disabling it.
func TestNobodyPosesAsTheOperator(t *testing.T) {
	p := newPlatform(t)
	const userAdministrator, text = "fe930be7-5e62-47db-91af-98c3a49a38b1", "stands for the operator"
	p.user("useradmin", "contoso.example", userAdministrator)
	mallory := p.user("mallory", "contoso.example")
	a := p.as("useradmin", "POST", "/v1.0/users",
		`{"accountEnabled":true,"displayName":"x","mailNickname":"x","userPrincipalName":"Operator@contoso.example","passwordProfile":{"password":"x"}}`)
	if a.status != http.StatusBadRequest || !strings.Contains(a.message(), text) {
		t.Errorf("create: %s", a.text)
	}
	a = p.as("useradmin", "PATCH", "/v1.0/users/"+mallory.Principal.String(), `{"userPrincipalName":"operator@contoso.example"}`)
	if a.status != http.StatusBadRequest || !strings.Contains(a.message(), text) {
		t.Errorf("rename: %s", a.text)
	}
	u, err := p.manage.Operator(t.Context(), operator, p.tenant.ID)
	if err != nil || u.ID == mallory.Principal {
		t.Fatal(u, err)
	}
	p.must(http.StatusNoContent, "PATCH", "/v1.0/users/"+u.ID.String(), `{"accountEnabled":false,"jobTitle":"gone"}`)
	if u, err = p.manage.Operator(t.Context(), operator, p.tenant.ID); err != nil || u.Disabled {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestFiltersThatFitNothingReadInBulk: a page of one and a filter that no index
// answers must not cost a read for every other object.
func TestFiltersThatFitNothingReadInBulk(t *testing.T) {
	p := newPlatform(t)
	reads := 0
	l := lister[int]{
		schema: &objectSchema,
		page: func(s directory.Selection) ([]int, error) {
			reads++
			return make([]int, s.Limit), nil // there is always more
		},
		cursor: func(*int) directory.Cursor { return directory.Cursor{ID: directory.NewObjectID()} },
		render: func(*int) (entity, error) { return entity{{"mail", "a"}}, nil },
	}
	r := httptest.NewRequest("GET", "/v1.0/users?$top=1&$filter=mail%20eq%20'b'", nil)
	q, err := odata.Parse(r.URL.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	c := &call{ctx: t.Context(), r: r, api: p.api, op: &Operation{Path: "/users"}, query: q, tenant: p.tenant.ID, caller: manage.Caller{Access: p.callers["admin"]}}
	values, next, _, err := list(c, l)
	if err != nil || len(values) != 0 || next == "" || reads > 40 {
		t.Errorf("%d values, next %q, %d reads, %v", len(values), next, reads, err)
	}
}
