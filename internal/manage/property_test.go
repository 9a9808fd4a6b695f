package manage_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/store"
)

// TestMain asks for fewer runs of a property than the library's 100, because each
// opens two databases; -rapid.checks asks for more.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", propertyRuns); err != nil {
			panic(err)
		}
	}
	m.Run()
}

// someOf draws a subset of the words, in order.
func someOf(t *rapid.T, label string, words ...string) []string {
	var some []string
	for _, w := range words {
		if rapid.Bool().Draw(t, label+" "+w) {
			some = append(some, w)
		}
	}
	return some
}

func flow(words []string) string { return "[" + strings.Join(words, ", ") + "]" }

// drawFile generates a directory file of two tenants that states every list.
// References name things that exist in it; clashes of identifier URIs between
// tenants may remain, and make the file one that is refused.
func drawFile(t *rapid.T) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	pick := func(label string, from []string) string { return rapid.SampledFrom(from).Draw(t, label) }

	multi := map[string][]string{} // tenant -> applications that others may provision
	roles := map[string][]string{} // tenant/application -> roles
	apps := map[string][]string{}
	tenants := []string{"contoso", "fabrikam"}
	var bodies []string
	for _, tenant := range tenants {
		b.Reset()
		line("- name: %s", tenant)
		line("  displayName: %q", pick("title", []string{"", "A title", "Ä…"}))
		line("  domains: %s", flow(someOf(t, tenant+" domains", tenant+".example", tenant+".test")))
		identities := someOf(t, tenant+" identities", "msi-a", "msi-b", "msi-c")
		line("  managedIdentities:%s", empty(identities))
		for _, m := range identities {
			line("  - {name: %s, resourceGroup: %s, location: %s, federatedIdentityCredentials: %s}", m,
				pick("group", []string{"east", "west"}), pick("location", []string{"local", "north"}),
				flow(prefixed(someOf(t, m+" credentials", "x", "y"), "{name: cred-%[1]s, issuer: 'https://i.example/%[1]s', subject: %[1]s, audiences: [api://AzureADTokenExchange]}")))
		}
		hosts := someOf(t, tenant+" hosts", "vm1", "vm2")
		line("  hosts:%s", empty(hosts))
		var principals []string
		for _, h := range hosts {
			system := flag("system")
			line("  - {name: %s, kind: %s, resourceGroup: g, systemAssigned: %v, identities: %s}", h, pick("kind", []string{"virtualMachine", "webApp"}), system, flow(someOf(t, h+" identities", identities...)))
			if system {
				principals = append(principals, "'host:"+h+"'")
			}
		}
		names := someOf(t, tenant+" applications", "api", "web", "job")
		apps[tenant] = names
		line("  applications:%s", empty(names))
		for _, a := range names {
			line("  - name: %s", a)
			audience := directory.SingleTenant
			if flag("multi") {
				audience = directory.MultiTenant
				multi[tenant] = append(multi[tenant], tenant+"/"+a)
			}
			line("    signInAudience: %s", audience)
			if flag("client id") {
				// Always the same for the same name, as a person would do it.
				line("    clientId: %x-0000-4000-8000-%012x", 0x10000000+len(tenant), int(a[0])<<8+int(a[1]))
			}
			line("    identifierUris: %s", flow(someOf(t, a+" uris", "api://"+a, "api://"+a+"/v2")))
			line("    disabled: %v", flag("disabled"))
			line("    assignmentRequired: %v", flag("required"))
			r := someOf(t, a+" roles", "Read", "Write")
			roles[tenant+"/"+a] = r
			line("    appRoles: %s", flow(prefixed(r, "{value: %[1]s, displayName: The %[1]s, description: "+pick("description", []string{"one", "two"})+"}")))
			var creds []string
			if len(identities) > 0 && flag("managed identity") {
				creds = append(creds, "{name: from-msi, managedIdentity: "+pick("identity", identities)+"}")
			}
			// Names and subjects vary apart from each other, so that
			// credentials trade subjects.
			subjects := rapid.Permutation([]string{"s1", "s2", "s3"}).Draw(t, "subjects")
			for i, c := range someOf(t, a+" credentials", "one", "two", "three") {
				creds = append(creds, fmt.Sprintf("{name: %s, issuer: 'https://i.example', subject: %s, audiences: [api://AzureADTokenExchange]}", c, subjects[i]))
			}
			line("    federatedIdentityCredentials: %s", flow(creds))
		}
		principals = append(append(principals, identities...), names...)
		bodies = append(bodies, b.String())
		apps[tenant+" principals"] = principals
	}
	b.Reset()
	line("tenants:")
	for i, tenant := range tenants {
		b.WriteString(bodies[i])
		foreign := someOf(t, tenant+" provisioned", multi[tenants[1-i]]...)
		line("  servicePrincipals: %s", flow(prefixed(foreign, fmt.Sprintf("{application: %%s, disabled: %v, assignmentRequired: %v}", flag("sp disabled"), flag("sp required")))))
		principals := append(apps[tenant+" principals"], foreign...)
		var resources []string
		for _, a := range apps[tenant] {
			if len(roles[tenant+"/"+a]) > 0 {
				resources = append(resources, tenant+"/"+a)
			}
		}
		for _, a := range foreign {
			if len(roles[a]) > 0 {
				resources = append(resources, a)
			}
		}
		var grants []string
		if len(principals) > 0 && len(resources) > 0 {
			for range rapid.IntRange(0, 4).Draw(t, "grants") {
				resource := pick("resource", resources)
				grant := fmt.Sprintf("{principal: %s, resource: %s, role: %s}", pick("principal", principals), resource, pick("role", roles[resource]))
				if !slices.Contains(grants, grant) {
					grants = append(grants, grant)
				}
			}
		}
		line("  appRoleAssignments: %s", flow(grants))
	}
	return b.String()
}

func empty(list []string) string {
	if len(list) == 0 {
		return " []"
	}
	return ""
}

func prefixed(words []string, format string) []string {
	var out []string
	for _, w := range words {
		out = append(out, fmt.Sprintf(format, w))
	}
	return out
}

// names prints the directory without random ids: what two directories made from
// the same file have in common.
func (p *platform) names() string {
	ids := map[string]string{}
	text := p.dump()
	err := p.db.View(context.Background(), func(tx manage.Tx) error {
		tenants, err := tx.Tenants()
		if err != nil {
			return err
		}
		for _, t := range tenants {
			ids[t.ID.String()], ids[t.Subscription.String()] = "<"+t.Name+">", "<subscription>"
			principals, err := tx.Principals(t.ID)
			if err != nil {
				return err
			}
			for _, sp := range principals {
				ids[sp.ID.String()] = "<" + t.Name + " " + string(sp.Kind) + " " + sp.Name + ">"
				ids[sp.ClientID.String()] = "<client " + string(sp.Kind) + " " + sp.Name + ">"
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	var pairs []string
	for id, name := range ids {
		pairs = append(pairs, id, name)
	}
	text = strings.NewReplacer(pairs...).Replace(text)
	var words []string
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" {}[]\n", r) }) {
		key, value, found := strings.Cut(w, ":")
		if found && key == "ID" || found && key == "Role" || found && key == "Host" || found && key == "System" {
			if _, err := directory.ParseObjectID(value); err == nil {
				w = key
			}
		}
		if _, err := directory.ParseObjectID(w); err == nil {
			w = "<id>"
		}
		words = append(words, w)
	}
	slices.Sort(words)
	return strings.Join(words, "\n")
}

func TestApplyIsIdempotentAndReachesWhatTheFileSays(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	platformIn := func(t *rapid.T) *platform {
		runs++
		db, err := store.OpenSQLite(context.Background(), filepath.Join(dir, fmt.Sprintf("%d.db", runs)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &platform{manage.New(db, directory.Global(), testClock, slog.New(slog.DiscardHandler)), testing.TB(nil), db}
	}
	refusedFirst, refusedSecond := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		first, second := drawFile(rt), drawFile(rt)
		p, fresh := platformIn(rt), platformIn(rt)
		p.t, fresh.t = t, t
		apply := func(p *platform, text string) (*manage.Plan, error) {
			d, err := config.ParseDirectory("f.yaml", []byte(text))
			if err != nil {
				rt.Fatalf("parsing: %v\n%s", err, text)
			}
			return p.Apply(context.Background(), caller, []*config.Directory{d}, manage.ApplyOptions{})
		}
		for _, text := range []string{first, second} {
			plan, err := apply(p, text)
			if err != nil {
				var list config.Errors
				if !errors.As(err, &list) || problem.KindOf(err) == problem.Internal {
					rt.Fatalf("apply failed otherwise than by refusing: %v\n%s", err, text)
				}
				if text == second && !strings.Contains(err.Error(), "ids never change") && problem.KindOf(err) != problem.Conflict {
					// Where it starts from may matter for ids and for names in
					// a circle, for nothing else.
					if _, inEmpty := apply(fresh, text); inEmpty == nil {
						rt.Fatalf("accepted in an empty directory, refused over another: %v\n%s\n---\n%s", err, first, second)
					}
				}
				if text == first {
					refusedFirst++
				} else {
					refusedSecond++
				}
				continue
			}
			before, records := p.dump(), len(p.changes(audit.Query{}))
			again, err := apply(p, text)
			if err != nil || !again.Empty() {
				rt.Fatalf("applying again: %v, %v\nfirst %v\n%s", steps(again), err, steps(plan), text)
			}
			if diff := cmp.Diff(before, p.dump()); diff != "" {
				rt.Fatalf("an empty plan changed the directory:\n%s", diff)
			}
			if n := len(p.changes(audit.Query{})); n != records {
				rt.Fatalf("an empty plan left %d records", n-records)
			}
			if text == second {
				if _, err := apply(fresh, text); err != nil {
					rt.Fatalf("accepted over another directory, refused in an empty one: %v\n%s", err, text)
				}
				if diff := cmp.Diff(fresh.names(), p.names()); diff != "" {
					rt.Fatalf("the same file leads to different directories (-fresh +over another):\n%s\n%s\n---\n%s", diff, first, second)
				}
			}
		}
		if err := p.db.VerifyChanges(context.Background()); err != nil {
			rt.Fatal(err)
		}
	})
	t.Logf("%d directories; %d first and %d second files refused", runs, refusedFirst, refusedSecond)
}
