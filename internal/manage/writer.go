package manage

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// writer is one change in the making: a transaction, what was done in it so
// far, and indexes over what the storage contract cannot look up by key. Its
// methods are the rules. Each checks first and writes then, records what it
// did, and returns a *problem.Error whose Target is the wire name of the field
// that is wrong.
type writer struct {
	tx     Tx
	cloud  *directory.Cloud
	now    time.Time
	caller Caller
	plan   Plan

	decided  bool           // whether the caller may
	held     *access.Rights // the caller's, once read
	climbing bool           // callers may reach beyond their rights; see [Service.AllowClimbing]

	written   []writtenCredential
	generated []string // ids made in this change
	tenants   map[directory.TenantID]string
	domains   map[string]directory.TenantID
	assigned  map[directory.TenantID]*assignmentIndex
}

func newWriter(tx Tx, cloud *directory.Cloud, now time.Time, caller Caller) *writer {
	return &writer{
		tx: tx, cloud: cloud, now: now, caller: caller,
		tenants:  make(map[directory.TenantID]string),
		assigned: make(map[directory.TenantID]*assignmentIndex),
	}
}

// change is what a writer's method did to one object.
type change struct {
	op            Op
	tenant        directory.TenantID
	target        audit.Target
	high          bool // rights change hands
	before, after []field
}

// record adds a step to the plan and appends its audit record. An update that
// changes no field leaves no trace.
func (w *writer) record(c change) error {
	fields := compare(c.before, c.after)
	if c.op == Update && len(fields) == 0 {
		return nil
	}
	w.plan.Steps = append(w.plan.Steps, Step{Op: c.op, Target: c.target, Fields: fields})
	actor := w.caller.Actor
	if a := w.caller.Access; a != nil && a.Tenant != c.tenant {
		// What follows an application into another tenant: who changed it is that
		// application's home's to know (invariant I9).
		actor = audit.Actor{Kind: "system", Name: "the application's home tenant"}
	}
	entry := audit.Change{
		ID: directory.NewObjectID().String(), Time: w.now, Correlation: w.caller.Correlation, Tenant: c.tenant,
		Actor: actor, Action: string(c.op), Target: c.target, Outcome: audit.Succeeded, High: c.high,
	}
	var err error
	if entry.Before, err = snapshot(c.before); err != nil {
		return err
	}
	if entry.After, err = snapshot(c.after); err != nil {
		return err
	}
	if err := w.tx.AppendChange(entry); err != nil {
		return fmt.Errorf("recording a change: %w", err)
	}
	return nil
}

func snapshot(fields []field) (json.RawMessage, error) {
	if fields == nil {
		return nil, nil
	}
	return json.Marshal(object(fields))
}

// hideGenerated replaces the ids made in a dry run, which will be others when
// the plan is carried out.
func (w *writer) hideGenerated() {
	const length = 36 // of an id
	hidden := make(map[string]bool, len(w.generated))
	for _, id := range w.generated {
		hidden[id] = true
	}
	hide := func(s string) string {
		for i := 0; i+length <= len(s); i++ {
			if hidden[s[i:i+length]] {
				s = s[:i] + afterApply + s[i+length:]
			}
		}
		return s
	}
	target := func(t *audit.Target) {
		if hidden[t.ID] {
			t.ID = ""
		}
	}
	for i := range w.plan.Steps {
		s := &w.plan.Steps[i]
		target(&s.Target)
		for j := range s.Fields {
			s.Fields[j].After = hide(s.Fields[j].After)
		}
	}
	for i := range w.plan.Warnings {
		target(&w.plan.Warnings[i].Target)
		w.plan.Warnings[i].Message = hide(w.plan.Warnings[i].Message)
		w.plan.Warnings[i].Mend = hide(w.plan.Warnings[i].Mend)
	}
}

// objectID, clientID and tenantID return the stated id, or a new random one.
func (w *writer) objectID(stated config.Value[directory.ObjectID]) directory.ObjectID {
	if stated.Set {
		return stated.V
	}
	id := directory.NewObjectID()
	w.generated = append(w.generated, id.String())
	return id
}

func (w *writer) newObjectID() directory.ObjectID {
	return w.objectID(config.Value[directory.ObjectID]{})
}

func (w *writer) clientID(stated config.Value[directory.ClientID]) directory.ClientID {
	if stated.Set {
		return stated.V
	}
	id := directory.NewClientID()
	w.generated = append(w.generated, id.String())
	return id
}

func (w *writer) newClientID() directory.ClientID {
	return w.clientID(config.Value[directory.ClientID]{})
}

func (w *writer) tenantID(stated config.Value[directory.TenantID]) directory.TenantID {
	if stated.Set {
		return stated.V
	}
	id := directory.NewTenantID()
	w.generated = append(w.generated, id.String())
	return id
}

// name is an object's name as people write it: contoso/orders.
func (w *writer) name(t directory.TenantID, parts ...string) string {
	tenant, ok := w.tenants[t]
	if !ok {
		tenant = t.String()
		if found, err := w.tx.Tenant(t); err == nil {
			tenant = found.Name
		}
		w.tenants[t] = tenant
	}
	return strings.Join(append([]string{tenant}, parts...), "/")
}

// holderOf is the service principal of the tenant that answers to the name; nil
// when none does.
func (w *writer) holderOf(t directory.TenantID, name string) (*directory.ServicePrincipal, error) {
	p, err := found(w.tx.PrincipalNamed(t, name))
	if err != nil {
		return nil, fmt.Errorf("finding service principal: %w", err)
	}
	return p, nil
}

// freeNames refuses names that another service principal of the tenant answers to.
func (w *writer) freeNames(t directory.TenantID, own directory.ObjectID, uris []string) error {
	for i, uri := range uris {
		holder, err := w.holderOf(t, uri)
		if err != nil {
			return err
		}
		if holder != nil && holder.ID != own {
			return problem.Newf(problem.Conflict, fmt.Sprintf("identifierUris[%d]", i), "%s already belongs to %s in tenant %s; identifier URIs are unique in a tenant", uri, holder.Name, w.name(t))
		}
	}
	return nil
}

func (w *writer) insertPrincipal(p *directory.ServicePrincipal) error {
	if err := validKept(p.Kept, mostKept); err != nil {
		return err
	}
	if err := w.tx.InsertPrincipal(p); err != nil {
		return conflict(err, "service principal", p.Name)
	}
	return nil
}

func (w *writer) updatePrincipal(after *directory.ServicePrincipal) error {
	if err := validKept(after.Kept, mostKept); err != nil {
		return err
	}
	if err := w.tx.UpdatePrincipal(after); err != nil {
		return conflict(err, "service principal", after.Name)
	}
	return nil
}

// removePrincipal deletes a service principal, and first everything that hangs
// on it, so that each is recorded and nothing is left for whoever comes after
// (threats X6).
func (w *writer) removePrincipal(p *directory.ServicePrincipal) error {
	all, err := w.tx.AssignmentsOf(p.Tenant, p.ID)
	if err != nil {
		return fmt.Errorf("reading app role assignments: %w", err)
	}
	for _, a := range all {
		if err := w.unassign(a); err != nil {
			return err
		}
	}
	if err := w.strip(p.Tenant, p.ID); err != nil {
		return err
	}
	if err := w.tx.DeletePrincipal(p.Tenant, p.ID); err != nil {
		return fmt.Errorf("deleting service principal: %w", err)
	}
	return nil
}

// clientIDFree refuses a client id that anything on the platform has or had:
// a service principal left over from a deleted application would come to life
// again with all its rights (threats X6).
func (w *writer) clientIDFree(id directory.ClientID, field string) error {
	for _, fp := range w.cloud.FirstParties() {
		if fp.ClientID == id {
			return problem.Newf(problem.Conflict, field, "%s is the client id of %s, which every tenant has", id, fp.Name)
		}
	}
	app, err := w.tx.ApplicationByClientID(id)
	switch {
	case err == nil:
		return problem.Newf(problem.Conflict, field, "%s is already the client id of application %s; client ids are unique on the platform", id, w.name(app.Tenant, app.Name))
	case !errors.Is(err, directory.ErrNotFound):
		return fmt.Errorf("looking for a client id: %w", err)
	}
	deleted, err := w.tx.DeletedWith(id)
	if err != nil {
		return fmt.Errorf("looking for a client id: %w", err)
	}
	if len(deleted) > 0 {
		return problem.Newf(problem.Conflict, field, "%s is the client id of %s, which was deleted and may still be restored; restore it, or use another client id", id, w.name(deleted[0].Tenant, deleted[0].Name))
	}
	left, err := w.tx.PrincipalsOf(id)
	if err != nil {
		return fmt.Errorf("looking for a client id: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	if left[0].Kind == directory.IdentityPrincipal {
		return problem.Newf(problem.Conflict, field, "%s is already the client id of managed identity %s; client ids are unique on the platform", id, w.name(left[0].Tenant, left[0].Name))
	}
	return problem.Newf(problem.Conflict, field, "%s was the client id of a deleted application that is still provisioned in tenant %s; remove its service principal there first, or use another client id", id, w.name(left[0].Tenant))
}

// settle runs the updates of one kind in an order in which each finds the names
// that it wants free, if there is one. Where there is none (two objects trade
// names) the update itself says what is in the way.
func settle[T any](items []T, blocked func(T) (bool, error), do func(T) error) error {
	for len(items) > 0 {
		var later []T
		for _, item := range items {
			wait, err := blocked(item)
			if err != nil {
				return err
			}
			if wait {
				later = append(later, item)
				continue
			}
			if err := do(item); err != nil {
				return err
			}
		}
		if len(later) == len(items) {
			for _, item := range later {
				if err := do(item); err != nil {
					return err
				}
			}
			return nil
		}
		items = later
	}
	return nil
}

// found turns an absent object into nil, so that absence can be told from failure.
func found[T any](object *T, err error) (*T, error) {
	if errors.Is(err, directory.ErrNotFound) {
		return nil, nil
	}
	return object, err
}
