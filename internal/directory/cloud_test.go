package directory_test

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
)

// TestOwnIssuer: every spelling of the cloud's own name is recognised, so that
// none passes for somebody else's issuer (threats F9).
func TestOwnIssuer(t *testing.T) {
	const id = "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"
	tenant := directory.MustTenantID(id)
	for _, row := range []struct {
		issuer string
		form   directory.IssuerForm
		tenant directory.TenantID
	}{
		{"https://login.microsoftonline.com/" + id + "/v2.0", directory.V2Form, tenant},
		{"https://sts.windows.net/" + id + "/", directory.V1Form, tenant},
		{"https://sts.windows.net/" + id, directory.AliasForm, tenant},
		{"https://sts.windows.net/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com/" + id + "/", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com/" + id + "/v2.0/", directory.AliasForm, tenant},
		{" https://login.microsoftonline.com/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com/" + strings.ToUpper(id) + "/v2.0", directory.AliasForm, tenant},
		{"HTTPS://Login.MicrosoftOnline.com/" + id + "/v2.0", directory.AliasForm, tenant},
		{"http://login.microsoftonline.com/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com:443/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com./" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.windows.net/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoft.com/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://user@login.microsoftonline.com/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://a@b@login.microsoftonline.com/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://a:b@login.microsoftonline.com:443/" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com?" + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com#" + id, directory.AliasForm, tenant},
		{`https://login.microsoftonline.com\` + id + "/v2.0", directory.AliasForm, tenant},
		{"https://login.microsoftonline.com/common/v2.0", directory.AliasForm, directory.TenantID{}},
		{"https://login.microsoftonline.com/{tenantid}/v2.0", directory.AliasForm, directory.TenantID{}},
		{"https://login.microsoftonline.com", directory.AliasForm, directory.TenantID{}},
		{"https://login.microsoftonline.us/" + id + "/v2.0", directory.NotOurs, directory.TenantID{}},
		{"https://login.microsoftonline.com.example/" + id + "/v2.0", directory.NotOurs, directory.TenantID{}},
		{"https://example/login.microsoftonline.com/" + id, directory.NotOurs, directory.TenantID{}},
		{"https://login.microsoftonline.com@example/" + id, directory.NotOurs, directory.TenantID{}},
		{"https://example?@login.microsoftonline.com/" + id, directory.NotOurs, directory.TenantID{}},
		{"https://token.actions.githubusercontent.com", directory.NotOurs, directory.TenantID{}},
		{"urn:x", directory.NotOurs, directory.TenantID{}},
		{"", directory.NotOurs, directory.TenantID{}},
	} {
		form, got := directory.Global().OwnIssuer(row.issuer)
		if form != row.form || got != row.tenant {
			t.Errorf("%q: form %d, tenant %s; want %d, %s", row.issuer, form, got, row.form, row.tenant)
		}
	}
}

func TestClouds(t *testing.T) {
	tenant := directory.MustTenantID("3d1e2be9-a10a-4a0c-8380-7ce190f98ed9")
	uris := make(map[string]bool)
	for _, cloud := range directory.Clouds() {
		if form, got := cloud.OwnIssuer(cloud.V1IssuerOf(tenant)); form != directory.V1Form || got != tenant {
			t.Errorf("%s: v1 issuer %s", cloud.Name, cloud.V1IssuerOf(tenant))
		}
		if form, got := cloud.OwnIssuer(cloud.V2IssuerOf(tenant)); form != directory.V2Form || got != tenant {
			t.Errorf("%s: v2 issuer %s", cloud.Name, cloud.V2IssuerOf(tenant))
		}
		uris[cloud.ExchangeURI] = true
		if got, ok := directory.CloudByName(cloud.Name); !ok || got.LoginHost != cloud.LoginHost {
			t.Errorf("%s is not found by name", cloud.Name)
		}
	}
	if len(uris) != 3 {
		t.Errorf("exchange audiences %v", uris)
	}
	if _, ok := directory.CloudByName("Global"); ok {
		t.Error("names of clouds fold case")
	}
}

func TestIDs(t *testing.T) {
	const id = "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"
	for text, good := range map[string]bool{
		id: true, strings.ToUpper(id): true, "": false, "{" + id + "}": false, "urn:uuid:" + id: false, strings.ReplaceAll(id, "-", ""): false,
		id + " ": false, "00000000-0000-0000-0000-000000000000": false, "x" + id[1:]: false, strings.ReplaceAll(id, "-", "_"): false,
	} {
		parsed, err := directory.ParseClientID(text)
		if (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && parsed.String() != id {
			t.Errorf("%q became %s", text, parsed)
		}
	}
	if !(directory.TenantID{}).IsZero() || (directory.TenantID{}).String() != "" {
		t.Error("the zero id prints as something")
	}
}

func TestFirstPartyByHost(t *testing.T) {
	for identifier, want := range map[string]bool{
		"https://account.blob.core.windows.net": true, "https://account.dfs.core.windows.net/": true, "https://v.vault.azure.net": true,
		"https://blob.core.windows.net": false, "https://a.b.blob.core.windows.net": false, "http://account.blob.core.windows.net": false,
		"https://account.blob.core.windows.net//": false, "https://account.blob.core.windows.net.example": false, "https://x@account.blob.core.windows.net": false,
		"https://Account.blob.core.windows.net": false, "https://-a.blob.core.windows.net": false, "https://": false,
	} {
		if _, ok := directory.Global().FirstPartyByHost(identifier); ok != want {
			t.Errorf("%s: %t, want %t", identifier, ok, want)
		}
	}
}
