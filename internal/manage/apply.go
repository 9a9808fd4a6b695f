package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// ApplyOptions says how to apply.
type ApplyOptions struct {
	DryRun bool // work the plan out, change nothing, record nothing
}

// Apply makes the directory match the files, all or nothing: one transaction,
// nothing of it when any rule is broken. Applying the same files again changes
// nothing and returns an empty plan.
//
// Only what the files state is touched. Tenants that no file names are left
// alone, and tenants are never deleted. In a named tenant a list that is stated
// is made to match exactly, so that objects it does not list are deleted with
// everything that hangs on them; a list whose key is absent is left alone. A
// scalar that is absent keeps its value, or gets its default when the object is
// created. One tenant stands in one file.
//
// Objects are matched by id where the entry states one (a changed name is then
// a rename), else by name; managed identities by resource group and name, or by
// name alone where only one has it. Ids never change: an entry that states
// another id for an existing name is refused. Ids that are not stated are made
// at random, and ids of deleted objects come back only if a file states them.
//
// Creating a tenant makes in it the service principals of the cloud's
// first-party resources; creating an application, the one in its home tenant.
// Identifier URIs and names of an application are kept in step in every tenant
// where it is provisioned. Deleting an application deletes its service principal
// in the home tenant; those in other tenants stay until those tenants remove
// them, and get no tokens. Deleting an identity or a host takes it off the
// hosts and deletes its service principal. Deleting a service principal or an
// app role deletes the assignments that name it.
//
// An error that files can mend is config.Errors and lists everything that was
// found wrong, with positions. Warnings concern every credential the files
// state, changed or not.
func (s *Service) Apply(ctx context.Context, caller Caller, files []*config.Directory, opts ApplyOptions) (*Plan, error) {
	var names []string
	for _, f := range files {
		names = append(names, f.Pos.File)
	}
	attempt := audit.Change{Action: "apply", Target: audit.Target{Kind: "directory", Name: strings.Join(names, ", ")}}
	return s.change(ctx, attempt, opts.DryRun, caller, func(w *writer) error {
		a := &applying{w: w}
		// What a step needs, the steps before it have made. Deletions come
		// first so that the names they free can be used.
		for _, step := range []func() error{
			func() error { return a.tenants(files) },
			a.match,
			a.deleteUnlisted,
			a.identities,
			a.hosts,
			a.applications,
			a.credentials,
			a.servicePrincipals,
			a.assignments,
			a.people,
			a.links,
			a.directoryRoles,
			a.azureRoles,
		} {
			err := step()
			if len(a.errs) > 0 {
				return a.errs
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// applying is one run of Apply.
type applying struct {
	w    *writer
	errs config.Errors
	work []*tenantWork
}

// tenantWork is a tenant that a file names, with its entries and what is stored.
type tenantWork struct {
	entry *config.Tenant
	id    directory.TenantID

	identities []pair[config.Identity, directory.ManagedIdentity]
	hosts      []pair[config.Host, directory.Host]
	apps       []pair[config.Application, directory.Application]
	groups     []pair[config.Group, directory.Group]

	unlistedIdentities []*directory.ManagedIdentity
	unlistedHosts      []*directory.Host
	unlistedApps       []*directory.Application
}

// report notes what a file can mend, at the field that the problem names, and
// returns anything else.
func (a *applying) report(at config.Node, err error) error {
	var p *problem.Error
	if !errors.As(err, &p) || p.Kind == problem.Internal || p.Kind == problem.Unavailable {
		return err
	}
	a.errs = append(a.errs, &config.Error{Pos: at.At(p.Target), Kind: p.Kind, Message: p.Message})
	return nil
}

// stable notes an id that differs from the one the object has.
func stable[T interface {
	comparable
	String() string
}](a *applying, at config.Node, field, what string, stated config.Value[T], have T) {
	if stated.Set && stated.V != have {
		a.errs = append(a.errs, &config.Error{Pos: at.At(field), Kind: problem.Conflict, Message: fmt.Sprintf(
			"%s exists with the %s %s, and ids never change; remove this line or state that id, or delete the object first to make a new one", what, field, have)})
	}
}

func ids(values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return strings.HasSuffix(v, "=") })
}

func (a *applying) tenants(files []*config.Directory) error {
	var entries []config.Tenant
	first := make(map[string]config.Pos)
	for _, f := range files {
		for _, t := range f.Tenants.Items {
			for _, key := range ids("name="+strings.ToLower(t.Name), "id="+t.ID.V.String()) {
				if pos, twice := first[key]; twice {
					field, value, _ := strings.Cut(key, "=")
					a.errs = append(a.errs, &config.Error{Pos: t.At(field), Kind: problem.Invalid, Message: fmt.Sprintf("tenant %s stands also at %s; put all of one tenant into one entry", value, pos)})
				}
				first[key] = t.Pos
			}
			entries = append(entries, t)
		}
	}
	if len(a.errs) > 0 {
		return nil
	}
	stored, err := a.w.tx.Tenants()
	if err != nil {
		return fmt.Errorf("reading tenants: %w", err)
	}
	pairs, _ := pairUp(entries, stored,
		matcher[config.Tenant, directory.Tenant]{
			func(e *config.Tenant) []string { return ids("id=" + e.ID.V.String()) },
			func(t *directory.Tenant) []string { return ids("id=" + t.ID.String()) },
		},
		matcher[config.Tenant, directory.Tenant]{
			// Tenant names are compared without case.
			func(e *config.Tenant) []string { return []string{strings.ToLower(e.Name)} },
			func(t *directory.Tenant) []string { return []string{strings.ToLower(t.Name)} },
		})
	type update struct {
		entry         *config.Tenant
		before, after *directory.Tenant
	}
	var updates []update
	for _, p := range pairs {
		e, t := p.entry, p.stored
		if t == nil {
			continue
		}
		stable(a, e.Node, "id", "tenant "+e.Name, e.ID, t.ID)
		stable(a, e.Node, "subscription", "tenant "+e.Name, e.Subscription, t.Subscription)
		after := *t
		after.Name = e.Name
		after.DisplayName = e.DisplayName.Or(t.DisplayName)
		if e.Domains.Set {
			after.Domains = e.Domains.Items
		}
		updates = append(updates, update{e, t, &after})
	}
	if len(a.errs) > 0 {
		return nil
	}
	blocked := func(u update) (bool, error) {
		domains, err := a.w.allDomains()
		if err != nil {
			return false, err
		}
		for _, d := range u.after.Domains {
			if holder, taken := domains[d]; taken && holder != u.after.ID {
				return true, nil
			}
		}
		other, err := found(a.w.tx.TenantByName(u.after.Name))
		return other != nil && other.ID != u.after.ID, err
	}
	if err := settle(updates, blocked, func(u update) error {
		return a.report(u.entry.Node, a.w.updateTenant(u.before, u.after))
	}); err != nil {
		return err
	}
	for _, p := range pairs {
		work := &tenantWork{entry: p.entry}
		a.work = append(a.work, work)
		if p.stored != nil {
			work.id = p.stored.ID
			continue
		}
		e := p.entry
		t := &directory.Tenant{
			ID: a.w.tenantID(e.ID), Name: e.Name, DisplayName: e.DisplayName.V, Domains: e.Domains.Items,
			Subscription: a.w.objectID(e.Subscription),
		}
		work.id = t.ID
		if err := a.report(e.Node, a.w.createTenant(t)); err != nil {
			return err
		}
	}
	return nil
}
