package trust

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"pgregory.net/rapid"
)

var (
	home      = directory.MustTenantID("3d1e2be9-a10a-4a0c-8380-7ce190f98ed9")
	elsewhere = directory.MustTenantID("7a0b4f7e-5a3c-4d53-9d2f-16c8a6a6a001")
	principal = directory.MustObjectID("0aaa0000-00aa-40aa-8aaa-00000000000a")
	cloud     = directory.Global()
)

// msi is the user-assigned identity that most rows speak of.
func msi() *directory.ManagedIdentity {
	return &directory.ManagedIdentity{
		Tenant: home, PrincipalID: principal, ClientID: directory.MustClientID("0bbb0000-00bb-40bb-8bbb-00000000000b"),
		Kind: directory.UserAssigned, Name: "msi-webapp1",
	}
}

func credential(name, issuer, subject, audience string) directory.FederatedCredential {
	return directory.FederatedCredential{ID: directory.NewObjectID(), Name: name, Issuer: issuer, Subject: subject, Audience: audience}
}

func good() directory.FederatedCredential {
	return credential("good", cloud.V2IssuerOf(home), principal.String(), cloud.ExchangeURI)
}

// offered is a verified managed identity token; the rows change one thing.
func offered() Offer {
	return Offer{
		Issuer: cloud.V2IssuerOf(home), Subject: principal.String(), Audience: cloud.ExchangeID.String(),
		ClientID: "0bbb0000-00bb-40bb-8bbb-00000000000b", AppOnly: true,
	}
}

func TestDecide(t *testing.T) {
	type change func(*Offer, *Facts)
	creds := func(c ...directory.FederatedCredential) change {
		return func(_ *Offer, f *Facts) { f.Client.Credentials = c }
	}
	with := func(field func(*directory.FederatedCredential)) change {
		return func(_ *Offer, f *Facts) { field(&f.Client.Credentials[0]) }
	}
	tests := []struct {
		name string
		is   Reason
		when []change
	}{
		{"a managed identity's token with everything equal is trusted", "", nil},
		{"the exchange URI in the token counts as its id", "", []change{func(o *Offer, _ *Facts) { o.Audience = cloud.ExchangeURI }}},
		{"the right one of several credentials is found", "", []change{creds(credential("other", cloud.V2IssuerOf(home), "someone", cloud.ExchangeURI), good())}},

		{"an application without credentials trusts nobody", NoCredentials, []change{creds()}},
		{"an issuer with an extra slash is another issuer", IssuerMismatch, []change{with(func(c *directory.FederatedCredential) { c.Issuer += "/" })}},
		{"a stored issuer with white space around it never matches", IssuerMismatch, []change{with(func(c *directory.FederatedCredential) { c.Issuer = " " + c.Issuer })}},
		{"an issuer in upper case is another issuer", IssuerMismatch, []change{with(func(c *directory.FederatedCredential) { c.Issuer = strings.ToUpper(c.Issuer) })}},
		{"an alias host in the credential is another issuer", IssuerMismatch, []change{with(func(c *directory.FederatedCredential) {
			c.Issuer = strings.Replace(c.Issuer, "login.microsoftonline.com", "login.windows.net", 1)
		})}},
		{"an alias host in the token is refused even when a credential names it (F9)", IssuerMismatch, []change{
			func(o *Offer, f *Facts) {
				o.Issuer = "https://login.windows.net/" + home.String() + "/v2.0"
				f.Client.Credentials[0].Issuer = o.Issuer
			}}},
		{"the v1.0 issuer in the credential has a code of its own", V1Issuer, []change{with(func(c *directory.FederatedCredential) { c.Issuer = cloud.V1IssuerOf(home) })}},
		{"the exchange id where the URI belongs", CredentialAudience, []change{with(func(c *directory.FederatedCredential) { c.Audience = cloud.ExchangeID.String() })}},
		{"another cloud's exchange in the credential", CredentialAudience, []change{with(func(c *directory.FederatedCredential) { c.Audience = directory.USGov().ExchangeURI })}},
		{"a token for another resource", TokenAudience, []change{func(o *Offer, _ *Facts) { o.Audience = "https://management.azure.com/" }}},
		{"a v1.0 token for another resource", TokenAudience, []change{func(o *Offer, _ *Facts) {
			o.Audience, o.Issuer = "https://management.azure.com/", cloud.V1IssuerOf(home)
		}}},
		{"another subject", SubjectMismatch, []change{with(func(c *directory.FederatedCredential) { c.Subject = "00000000-0000-0000-0000-000000000000" })}},
		{"the client id where the principal id belongs", SubjectMismatch, []change{with(func(c *directory.FederatedCredential) { c.Subject = "0bbb0000-00bb-40bb-8bbb-00000000000b" })}},
		{"a subject that differs in case only has a code of its own", SubjectCase, []change{with(func(c *directory.FederatedCredential) { c.Subject = strings.ToUpper(c.Subject) })}},
		{"a star in a subject is a star", SubjectMismatch, []change{with(func(c *directory.FederatedCredential) { c.Subject = "*" })}},
		{"two credentials for one subject through both issuers", DuplicateSubject, []change{creds(good(), credential("hedge", cloud.V1IssuerOf(home), principal.String(), cloud.ExchangeURI))}},

		{"an identity of another tenant", ForeignTenant, []change{func(o *Offer, f *Facts) {
			o.Issuer = cloud.V2IssuerOf(elsewhere)
			f.Client.Credentials[0].Issuer = o.Issuer
			f.Identity.Tenant = elsewhere
		}}},
		{"an issuer of another tenant whose subject is an identity at home", ForeignTenant, []change{func(o *Offer, f *Facts) {
			o.Issuer = cloud.V2IssuerOf(elsewhere)
			f.Client.Credentials[0].Issuer = o.Issuer
		}}},
		{"an issuer at home whose subject is an identity of another tenant", ForeignTenant, []change{func(_ *Offer, f *Facts) { f.Identity.Tenant = elsewhere }}},
		{"an identity of another cloud", ForeignCloud, []change{func(o *Offer, f *Facts) {
			o.Issuer, o.Audience = directory.USGov().V2IssuerOf(home), directory.USGov().ExchangeURI
			f.Client.Credentials[0].Issuer, f.Client.Credentials[0].Audience = o.Issuer, o.Audience
			f.Identity = nil
		}}},
		{"a token that acts for a user", NotAppOnly, []change{func(o *Offer, _ *Facts) { o.AppOnly = false }}},
		{"an application's own token", NotManagedIdentity, []change{func(_ *Offer, f *Facts) { f.Identity, f.Principal = nil, true }}},
		{"a system-assigned identity", SystemIdentity, []change{func(_ *Offer, f *Facts) { f.Identity.Kind = directory.SystemAssigned }}},
		{"an identity that was deleted", IdentityGone, []change{func(_ *Offer, f *Facts) { f.Identity = nil }}},
		{"an identity that was disabled", IdentityDisabled, []change{func(_ *Offer, f *Facts) { f.Identity.Disabled = true }}},
		{"a token that came from a federated credential itself", FromFederation, []change{func(o *Offer, _ *Facts) { o.Federated = true }}},
		{"a managed identity that wants to trust another", ClientIsIdentity, []change{func(_ *Offer, f *Facts) { f.Client.Kind = directory.IdentityPrincipal }}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := offered()
			f := Facts{Cloud: cloud, Identity: msi(), Client: &directory.Client{
				Tenant: home, Kind: directory.ApplicationPrincipal, Credentials: []directory.FederatedCredential{good()},
			}}
			for _, apply := range tt.when {
				apply(&o, &f)
			}
			v := Decide(o, f)
			if v.Reason != tt.is {
				t.Fatalf("reason %q, want %q", v.Reason, tt.is)
			}
			if v.OK() && (v.Credential == nil || v.Credential.Subject != o.Subject || v.Credential.Issuer != o.Issuer) {
				t.Errorf("trusted by credential %+v", v.Credential)
			}
		})
	}
}

// TestDecideExternal covers issuers that are not ours: the rules for own
// tokens do not apply, the exact comparison does (threats F2, F4).
func TestDecideExternal(t *testing.T) {
	const issuer, subject, audience = "https://issuer.example/a", "system:serviceaccount:web:app", "api://AzureADTokenExchange"
	f := Facts{Cloud: cloud, Client: &directory.Client{Tenant: home, Credentials: []directory.FederatedCredential{credential("k8s", issuer, subject, audience)}}}
	if v := Decide(Offer{Issuer: issuer, Subject: subject, Audience: audience}, f); !v.OK() {
		t.Fatalf("refused: %s", v.Reason)
	}
	for name, o := range map[string]Offer{
		"slash":    {Issuer: issuer + "/", Subject: subject, Audience: audience},
		"subject":  {Issuer: issuer, Subject: subject + "2", Audience: audience},
		"audience": {Issuer: issuer, Subject: subject, Audience: cloud.ExchangeID.String()},
	} {
		if v := Decide(o, f); v.OK() {
			t.Errorf("%s: trusted", name)
		}
	}
}

// TestDecideMutations changes one byte anywhere in the three trust values:
// whatever it is, the answer becomes no (threats J13, F2).
func TestDecideMutations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := Facts{Cloud: cloud, Identity: msi(), Client: &directory.Client{Tenant: home, Credentials: []directory.FederatedCredential{good()}}}
		c := &f.Client.Credentials[0]
		field := rapid.SampledFrom([]*string{&c.Issuer, &c.Subject, &c.Audience}).Draw(rt, "field")
		text := []byte(*field)
		at := rapid.IntRange(0, len(text)-1).Draw(rt, "at")
		b := rapid.Byte().Draw(rt, "byte")
		if text[at] == b {
			return
		}
		switch rapid.IntRange(0, 2).Draw(rt, "how") {
		case 0:
			text[at] = b
		case 1:
			text = append(text[:at], append([]byte{b}, text[at:]...)...)
		case 2:
			text = append(text[:at], text[at+1:]...)
		}
		*field = string(text)
		if v := Decide(offered(), f); v.OK() {
			rt.Fatalf("trusted %q", text)
		}
	})
}

func TestSelectNeedsACredentialForTheIssuer(t *testing.T) {
	f := Facts{Cloud: cloud, Client: &directory.Client{Tenant: home, Credentials: []directory.FederatedCredential{
		good(), credential("gov", directory.USGov().V2IssuerOf(home), "x", "y"), credential("ext", "https://issuer.example", "x", "y"),
	}}}
	for issuer, want := range map[string]Reason{
		cloud.V2IssuerOf(home):                           "",
		cloud.V1IssuerOf(home):                           "",
		"https://issuer.example":                         "",
		"https://issuer.example/":                        IssuerMismatch,
		"https://elsewhere.example":                      IssuerMismatch,
		"http://login.microsoftonline.com/x":             IssuerMismatch,
		directory.USGov().V2IssuerOf(home):               ForeignCloud,
		"https://LOGIN.microsoftonline.com:443/x/v2.0":   IssuerMismatch,
		"https://a@login.microsoftonline.com/x/v2.0":     IssuerMismatch,
		"https://login.microsoftonline.com./" + "x/v2.0": IssuerMismatch,
	} {
		if got := Select(issuer, f).Reason; got != want {
			t.Errorf("%s: %q, want %q", issuer, got, want)
		}
	}

	only := func(c ...directory.FederatedCredential) Facts {
		return Facts{Cloud: cloud, Client: &directory.Client{Tenant: home, Credentials: c}}
	}
	external, alias := "https://issuer.example", "https://login.windows.net/"+home.String()+"/v2.0"
	for _, tt := range []struct {
		name, issuer string
		facts        Facts
		want         Reason
	}{
		{"no credentials", external, only(), NoCredentials},
		{"no credentials, an own issuer", cloud.V2IssuerOf(home), only(), NoCredentials},
		{"an own issuer passes by any credential", cloud.V2IssuerOf(home), only(credential("ext", external, "x", "y")), ""},
		{"so does its v1.0 form", cloud.V1IssuerOf(home), only(credential("ext", external, "x", "y")), ""},
		{"an alias never passes, even when a credential names it (F9)", alias, only(credential("alias", alias, "x", "y")), IssuerMismatch},
	} {
		if got := Select(tt.issuer, tt.facts).Reason; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestForeignCloud(t *testing.T) {
	for issuer, want := range map[string]bool{
		directory.USGov().V2IssuerOf(home): true,
		directory.China().V1IssuerOf(home): true,
		cloud.V2IssuerOf(home):             false,
		// The US Government cloud has the same one.
		cloud.V1IssuerOf(home):                                 false,
		"https://login.windows.net/" + home.String() + "/v2.0": false,
		"https://issuer.example":                               false,
	} {
		if got := foreignCloud(issuer, cloud); got != want {
			t.Errorf("%s: %v, want %v", issuer, got, want)
		}
	}
}

// TestClosest: of several credentials the one that agrees in most is shown, and
// of equals the first.
func TestClosest(t *testing.T) {
	o := offered()
	far := credential("far", "https://a.example", "a", "b")
	near := credential("near", o.Issuer, "a", "b")
	nearer := credential("nearer", o.Issuer, o.Subject+"/", "b")
	nearest := credential("nearest", o.Issuer, o.Subject, "b")
	for _, tt := range []struct {
		name  string
		creds []directory.FederatedCredential
		want  string
	}{
		{"one field beats none", []directory.FederatedCredential{far, near}, "near"},
		{"a field that nearly agrees beats one that does not", []directory.FederatedCredential{near, nearer, far}, "nearer"},
		{"a field that agrees beats one that nearly does", []directory.FederatedCredential{nearest, nearer, near}, "nearest"},
		{"whatever the order", []directory.FederatedCredential{nearer, far, nearest}, "nearest"},
		{"the first of equals", []directory.FederatedCredential{near, credential("twin", o.Issuer, "a", "b")}, "near"},
		{"one that agrees in nothing, when there is no other", []directory.FederatedCredential{far}, "far"},
	} {
		if got := closest(o, tt.creds); got == nil || got.Name != tt.want {
			t.Errorf("%s: got %+v, want %s", tt.name, got, tt.want)
		}
	}
	if got := closest(o, nil); got != nil {
		t.Errorf("the closest of none is %+v", got)
	}
}

func TestChooseIdentity(t *testing.T) {
	user := msi()
	second := msi()
	second.PrincipalID, second.ClientID, second.Name = directory.NewObjectID(), directory.NewClientID(), "second"
	second.ResourceID = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/second"
	third := msi()
	third.PrincipalID, third.ClientID, third.Name = directory.NewObjectID(), directory.NewClientID(), "third"
	third.ResourceID = strings.Replace(second.ResourceID, "second", "zecond", 1)
	system := &directory.ManagedIdentity{Kind: directory.SystemAssigned, PrincipalID: directory.NewObjectID(), ClientID: directory.NewClientID(), ResourceID: "/host"}
	off := msi()
	off.Disabled = true
	list := func(m ...*directory.ManagedIdentity) []*directory.ManagedIdentity { return m }
	tests := []struct {
		name     string
		assigned []*directory.ManagedIdentity
		want     Selector
		soleUser bool
		picks    *directory.ManagedIdentity
		reason   Reason
	}{
		{"nothing assigned, none named", nil, Selector{}, true, nil, IdentityNone},
		{"one user-assigned, none named, where that will do", list(user), Selector{}, true, user, ""},
		{"one user-assigned, none named, where it must be the system's", list(user), Selector{}, false, nil, IdentityNone},
		{"two user-assigned, none named: never the first one (M11)", list(user, second), Selector{}, true, nil, IdentityAmbiguous},
		{"the system-assigned is the default beside others", list(user, second, system), Selector{}, true, system, ""},
		{"by client id", list(user, second), Selector{ClientID: second.ClientID}, false, second, ""},
		{"by object id", list(user, second), Selector{ObjectID: user.PrincipalID}, false, user, ""},
		{"by object id, not the first", list(user, second), Selector{ObjectID: second.PrincipalID}, false, second, ""},
		{"by resource id in another case", list(user, second), Selector{ResourceID: strings.ToUpper(second.ResourceID)}, false, second, ""},
		{"by a resource id of the same length as another's", list(second, third), Selector{ResourceID: third.ResourceID}, false, third, ""},
		{"a resource id of the same length as an assigned one's", list(second), Selector{ResourceID: third.ResourceID}, false, nil, IdentityNotAssigned},
		{"the host's resource id does not name its system identity", list(system), Selector{ResourceID: "/host"}, false, nil, IdentityNotAssigned},
		{"one that is not assigned", list(user), Selector{ClientID: second.ClientID}, true, nil, IdentityNotAssigned},
		{"a disabled one", list(off), Selector{ClientID: off.ClientID}, true, off, IdentityDisabled},
		{"the only one, disabled, none named", list(off), Selector{}, true, off, IdentityDisabled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, reason := ChooseIdentity(tt.assigned, tt.want, tt.soleUser)
			if got != tt.picks || reason != tt.reason {
				t.Errorf("picked %v, reason %q; want %v, %q", got, reason, tt.picks, tt.reason)
			}
		})
	}
}

// TestResourceIDsFold: the case of ASCII letters is folded, and nothing else is.
func TestResourceIDsFold(t *testing.T) {
	const upper, lower = "/AMNZ09[`{@\u00c4", "/amnz09[`{@\u00c4"
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{upper, lower, true},
		{lower, lower, true},
		{"", "", true},
		{upper, lower + "/", false},
		{"a", "b", false},
		{"[", "{", false}, // as far apart as Z and z
		{"@", "`", false}, // as far apart as A and a
		{"\u00c4", "\u00e4", false},
		{"k", "\u212a", false}, // the Kelvin sign folds to k in Unicode
	} {
		if equalFoldASCII(tt.a, tt.b) != tt.same || equalFoldASCII(tt.b, tt.a) != tt.same {
			t.Errorf("%q and %q: want the same %v", tt.a, tt.b, tt.same)
		}
	}
}

// TestMend checks that the explanation of each usual slip names it and ends in
// the edit that mends it.
func TestMend(t *testing.T) {
	tests := []struct {
		name string
		slip func(*directory.FederatedCredential)
		says string
		edit string
	}{
		{"case", func(c *directory.FederatedCredential) { c.Subject = strings.ToUpper(c.Subject) }, "upper and lower case", "set subject to " + principal.String()},
		{"slash", func(c *directory.FederatedCredential) { c.Issuer += "/" }, "ends with a slash", "set issuer to " + cloud.V2IssuerOf(home)},
		{"white space", func(c *directory.FederatedCredential) { c.Issuer = " " + c.Issuer }, "white space", "set issuer to " + cloud.V2IssuerOf(home)},
		{"client id for principal id", func(c *directory.FederatedCredential) { c.Subject = msi().ClientID.String() }, "client id", "set subject to " + principal.String()},
		{"v1.0 issuer", func(c *directory.FederatedCredential) { c.Issuer = cloud.V1IssuerOf(home) }, "v1.0 tokens", "set issuer to " + cloud.V2IssuerOf(home)},
		{"another tenant", func(c *directory.FederatedCredential) { c.Issuer = cloud.V2IssuerOf(elsewhere) }, "names tenant " + elsewhere.String(), "set issuer to " + cloud.V2IssuerOf(home)},
		{"another cloud's audience", func(c *directory.FederatedCredential) { c.Audience = directory.China().ExchangeURI }, "cloud china", "set audiences to [" + cloud.ExchangeURI + "]"},
		{"id for URI", func(c *directory.FederatedCredential) { c.Audience = cloud.ExchangeID.String() }, "its URI belongs there", "set audiences to [" + cloud.ExchangeURI + "]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.slip(&c)
			f := Facts{Cloud: cloud, Identity: msi(), Client: &directory.Client{Tenant: home, Credentials: []directory.FederatedCredential{c}}}
			v := Decide(offered(), f)
			if v.OK() {
				t.Fatal("trusted")
			}
			if v.Credential == nil {
				v.Credential = &f.Client.Credentials[0]
			}
			mend := Mend(v, Compare(offered(), f, Known{StoredSubjectClientOf: map[string]*directory.ManagedIdentity{}}))
			if !strings.Contains(mend, tt.says) || !strings.Contains(strings.ReplaceAll(mend, `in credential "good" `, ""), tt.edit) {
				t.Errorf("explanation %q does not say %q and %q", mend, tt.says, tt.edit)
			}
		})
	}
}
