package tokenapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
)

// TestNoSecretIsKept sends good and bad requests full of secrets and looks for
// them in the log, the records and the audit trail (invariant I13).
func TestNoSecretIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const canary = "CANARY-7f3a"
	env := w.Env("contoso/web-app")
	identityHeader := env["IDENTITY_HEADER"]
	if identityHeader == "" {
		t.Fatal("the host has no secret to look for")
	}
	var answers []string
	secrets := []string{canary, identityHeader, w.proof()}
	ask := func(f url.Values, header ...string) {
		a := w.ask(contoso, f, header...)
		answers = append(answers, a.raw)
		if token, ok := a.body["access_token"].(string); ok {
			secrets = append(secrets, token)
			return
		}
	}
	ask(form(orders, w.proof()), "Authorization", "")
	ask(form(orders, w.proof()), "Authorization", "Bearer "+canary)
	ask(form(orders, w.proof()), "Authorization", "Basic "+canary)
	ask(with(form(orders, w.proof()), "client_secret", canary))
	ask(with(with(form(orders, "x"), "client_assertion", "-"), "client_secret", canary))
	ask(form(orders, canary))
	ask(form(orders, canary+"."+canary+"."+canary))
	ask(form(orders, w.proof()+canary))
	ask(form(orders, avouchtest.Forge(w.proof())))
	ask(form(stranger, w.proof()))
	ask(form(bare, w.proof()))
	ask(with(form(orders, w.proof()), "password", canary))
	ask(with(with(form(orders, w.proof()), "grant_type", "refresh_token"), "refresh_token", canary))
	ask(with(with(form(orders, w.proof()), "grant_type", "device_code"), "device_code", canary))
	ask(with(form(orders, w.proof()), "claims", "{"+canary))
	ask(with(form(orders, w.resigned(map[string]any{"x": canary})), "scope", "api://nothing/.default"))
	secrets = append(secrets, w.resigned(map[string]any{"sub": "x"}))
	ask(form(orders, secrets[len(secrets)-1]))
	ask(with(form(orders, w.proof()), "x", "%zz"), "Cookie", "session="+canary)
	for _, body := range []string{"client_assertion=" + canary + "&client_assertion=" + canary, "client_secret=%zz" + canary, strings.Repeat(canary, 8000)} {
		answers = append(answers, w.post(contoso, body).raw)
	}
	for _, secret := range []string{identityHeader, canary, identityHeader + canary} {
		request, err := http.NewRequest(http.MethodGet, env["IDENTITY_ENDPOINT"]+"?api-version=2019-08-01&resource="+url.QueryEscape(storage)+"&client_id="+msiClient, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-IDENTITY-HEADER", secret)
		response, err := w.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var token struct {
			Token string `json:"access_token"`
		}
		if json.Unmarshal(data, &token) == nil && token.Token != "" {
			secrets = append(secrets, token.Token)
		} else {
			answers = append(answers, string(data))
		}
	}
	changes, err := w.Internal().Changes(context.Background(), audit.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	signIns := w.signIns()
	if len(signIns) < 10 || len(changes) == 0 || len(secrets) < 6 {
		t.Fatalf("%d records, %d changes, %d secrets: nothing to look at", len(signIns), len(changes), len(secrets))
	}
	var text strings.Builder
	for _, part := range []any{signIns, changes} {
		if err := json.NewEncoder(&text).Encode(part); err != nil {
			t.Fatal(err)
		}
	}
	places := map[string]string{"the log": w.Logs(), "the records": text.String(), "an error": strings.Join(refusalsOnly(answers), "\n")}
	for place, text := range places {
		for _, secret := range secrets {
			pieces := []string{secret}
			if parts := strings.Split(secret, "."); len(parts) == 3 {
				pieces = append(pieces, parts[1], parts[2], parts[2][:40])
			}
			for _, piece := range pieces {
				if strings.Contains(text, piece) {
					t.Errorf("%s holds %.60s…", place, piece)
				}
			}
		}
		if strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%s holds a private key", place)
		}
	}
}

func refusalsOnly(answers []string) []string {
	var refusals []string
	for _, a := range answers {
		if !strings.Contains(a, "access_token") {
			refusals = append(refusals, a)
		}
	}
	return refusals
}

// TestEachRequestIsRecordedOnce: one record for each exchange, with the ids
// and the code of the answer (invariant I11).
func TestEachRequestIsRecordedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.proof()
	before := len(w.signIns())
	type asked struct {
		a    answer
		code int
	}
	var all []asked
	for i, row := range []struct {
		tenant string
		form   url.Values
		code   int
	}{
		{contoso, form(orders, w.proof()), 0},
		{"CONTOSO.EXAMPLE", form(orders, w.proof()), 0},
		{fabrikam, with(form(orders, w.proof()), "scope", "api://reports/.default"), 0},
		{northwind, form(orders, w.proof()), 7000229},
		{"unknown.example", form(orders, w.proof()), 90002},
		{contoso, form(stranger, w.proof()), 700016},
		{contoso, form(orders, "x"), 50027},
		{contoso, form(orders, avouchtest.Forge(w.proof())), 50006},
		{contoso, form(bare, w.proof()), 70025},
		{contoso, url.Values{"grant_type": {"password"}}, 70003},
		{contoso, with(form(orders, w.proof()), "scope", "api://locked/.default"), 501051},
	} {
		a := w.ask(row.tenant, row.form, "client-request-id", fmt.Sprintf("00000000-0000-4000-8000-%012d", i), "return-client-request-id", "true")
		if row.code == 0 {
			issued(t, a)
		} else {
			w.refused(t, a, row.code)
		}
		all = append(all, asked{a, row.code})
	}
	records := w.signIns()
	if got := len(records) - before; got != len(all) {
		t.Errorf("%d records for %d requests", got, len(all))
	}
	for i, asked := range all {
		n := 0
		for _, r := range records {
			if r.ID != asked.a.header.Get("X-Ms-Request-Id") {
				continue
			}
			n++
			if r.Correlation != fmt.Sprintf("00000000-0000-4000-8000-%012d", i) || r.Correlation != asked.a.header.Get("client-request-id") || r.Code != asked.code {
				t.Errorf("request %d: correlation %s, code %d", i, r.Correlation, r.Code)
			}
			if r.Kind != audit.ApplicationSignIn || r.Source == "" || r.Time.IsZero() {
				t.Errorf("request %d: kind %s, source %s, time %v", i, r.Kind, r.Source, r.Time)
			}
			if asked.code != 0 {
				if r.Outcome != audit.Refused || r.Reason == "" || r.TokenID != "" || r.Token != "" {
					t.Errorf("request %d: %+v", i, r)
				}
				continue
			}
			claims, err := avouchtest.Claims(issued(t, asked.a))
			if err != nil {
				t.Fatal(err)
			}
			if r.Outcome != audit.Succeeded || r.TokenID != claims["uti"] || r.Token != audit.HashOf(issued(t, asked.a)) || r.KeyID != w.kid() ||
				r.PrincipalID.String() != claims["oid"] || r.Tenant.String() != claims["tid"] || r.ClientID.String() != orders ||
				r.Subject != msi || r.Issuer != issuer || r.Audience != exchangeID || r.Assertion != audit.HashOf(w.proof()) || r.Credential != "msi-webapp1" {
				t.Errorf("request %d: %+v beside claims %v", i, r, claims)
			}
		}
		if n != 1 {
			t.Errorf("request %d has %d records", i, n)
		}
	}
}

// TestRecordsStaySmall: no field grows by what a stranger sends, and no line
// of the log is more than one line (logging rule 6.3).
func TestRecordsStaySmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 9000)
	enc := func(v string) string { return b64.EncodeToString([]byte(v)) }
	token := enc(`{"alg":"RS256","kid":"k"}`) + "." + enc(`{"iss":"https://`+long+`","sub":"s\r\nforged=line","aud":"a","exp":1}`) + "." + enc("signature")
	w.refused(t, w.ask(contoso, form(orders, token)), 700211)
	w.refused(t, w.ask(contoso, form(long, token)), 700016)
	w.refused(t, w.ask(contoso, with(form(orders, w.proof()), "scope", "api://"+long+"/.default")), 500011)
	w.refused(t, w.ask(contoso, with(form(orders, w.proof()), "grant_type", "a\r\nlevel=ERROR msg=forged")), 70003)
	w.refused(t, w.ask(long[:2000]+".example", form(orders, w.proof())), 900023)
	const most = 1<<10 + 16
	for _, r := range w.signIns() {
		for name, value := range map[string]string{
			"detail": r.Detail, "issuer": r.Issuer, "subject": r.Subject, "audience": r.Audience, "client": r.ClientName,
			"tenant": r.TenantName, "resource": r.Resource, "key": r.AssertionKey,
		} {
			if len(value) > most {
				t.Errorf("record %s: %s has %d bytes", r.Reason, name, len(value))
			}
		}
	}
	for line := range strings.Lines(w.Logs()) {
		if strings.Contains(line, "forged") && !strings.HasPrefix(line, "time=") {
			t.Errorf("a caller wrote a line of the log: %s", line)
		}
	}
}

// TestWhatWasTakenAwayStopsWorking takes away, again and again, each thing
// that a token rests on: the very next request is refused, and the next one
// after it was given back is answered (threats F10, invariants I2 and I3).
func TestWhatWasTakenAwayStopsWorking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const loop, there = "5c1d9f70-0000-4000-8000-0000000000a1", "5c1d9f70-0000-4000-8000-0000000000a2"
	const client, principal = "cccccccc-0000-4000-8000-0000000000a1", "bbbbbbbb-0000-4000-8000-0000000000a1"
	identity := `managedIdentities: [{name: msi-loop, principalId: ` + principal + `, clientId: aaaaaaaa-0000-4000-8000-0000000000a1}]`
	application := `applications: [{name: loop-app, clientId: ` + client + `, signInAudience: AzureADMultipleOrgs, disabled: false, federatedIdentityCredentials: [{name: msi-loop, managedIdentity: msi-loop}]}]`
	tenants := func(home, other string) string {
		return strings.ReplaceAll("tenants:\n  - {name: loop, id: "+loop+", "+home+"}\n  - {name: there, id: "+there+", "+other+"}\n", ", }", "}")
	}
	given := func() {
		w.Apply(tenants(identity+", hosts: [{name: loop-host, kind: webApp, identities: [msi-loop]}], "+application, "servicePrincipals: [{application: loop/loop-app, disabled: false}]"))
	}
	given()
	proof := w.IdentityToken("loop/msi-loop", exchangeURI)
	tenant := directory.MustTenantID(loop)
	app, err := w.Internal().Manage().FindApplication(context.Background(), "loop/loop-app")
	if err != nil {
		t.Fatal(err)
	}
	manager := w.Internal().Manage()
	credential := func() directory.FederatedCredential {
		all, err := manager.FederatedCredentials(context.Background(), tenant, app.ID)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d credentials, %v", len(all), err)
		}
		return all[0]
	}
	for _, row := range []struct {
		what  string
		where string
		take  func()
		give  func()
		code  int
	}{
		{"the credential", loop, func() {
			if err := manager.DeleteFederatedCredential(context.Background(), caller, tenant, app.ID, credential().ID); err != nil {
				t.Fatal(err)
			}
		}, func() {
			c := directory.FederatedCredential{Name: "again", Issuer: "https://login.microsoftonline.com/" + loop + "/v2.0", Subject: principal, Audience: exchangeURI}
			if _, _, err := manager.CreateFederatedCredential(context.Background(), caller, tenant, app.ID, c); err != nil {
				t.Fatal(err)
			}
		}, 70025},
		{"the application, disabled", loop, func() { w.Apply(tenants(strings.Replace(application, "disabled: false", "disabled: true", 1), "")) }, nil, 7000112},
		{"the principal, disabled", there, func() { w.Apply(tenants("", "servicePrincipals: [{application: loop/loop-app, disabled: true}]")) }, nil, 7000112},
		{"the principal", there, func() { w.Apply(tenants("", "servicePrincipals: []")) }, nil, 7000229},
		{"the identity", loop, func() {
			w.Apply(tenants("managedIdentities: [], hosts: [], applications: [{name: loop-app, federatedIdentityCredentials: [{name: msi-loop, issuer: \"https://login.microsoftonline.com/"+loop+"/v2.0\", subject: "+principal+", audiences: ["+exchangeURI+"]}]}]", ""))
		}, nil, 7000229},
		{"the application", loop, func() { w.Apply(tenants("applications: []", "servicePrincipals: []")) }, nil, 700016},
	} {
		t.Run(row.what, func(t *testing.T) {
			for range rounds {
				row.take()
				w.refused(t, w.ask(row.where, form(client, proof)), row.code)
				if row.give != nil {
					row.give()
				} else {
					given()
				}
				issued(t, w.ask(row.where, form(client, proof)))
				if t.Failed() {
					return
				}
			}
		})
	}
}
