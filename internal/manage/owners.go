package manage

import (
	"context"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// owned finds the application or service principal whose owners are asked for.
func (w *writer) owned(t directory.TenantID, kind directory.ObjectKind, key Key) (directory.ObjectID, error) {
	if kind == directory.ApplicationObject {
		a, err := w.allowedApplication(t, key)
		if err != nil {
			return directory.ObjectID{}, err
		}
		return a.ID, nil
	}
	p, err := w.allowedPrincipalWith(t, key)
	if err != nil {
		return directory.ObjectID{}, err
	}
	return p.ID, nil
}

// Owners lists the owners of an application or a service principal.
func (s *Service) Owners(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind, key Key) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) error {
		id, err := w.owned(t, kind, key)
		if err != nil {
			return err
		}
		links, err := w.tx.Links(t, directory.OwnerRelation, id)
		if err != nil {
			return fmt.Errorf("reading owners: %w", err)
		}
		all, err = w.objects(t, idsOf(links), nil)
		return err
	})
	return all, err
}

// AddOwner makes a user or a service principal an owner of an application or a
// service principal. An owner can add credentials: nobody makes an owner who
// could not do what the application can (threats X10).
func (s *Service) AddOwner(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind, key Key, owner directory.ObjectID) error {
	_, err := s.change(ctx, ownerAttempt(Create, t, kind, key, owner), false, caller, func(w *writer) error {
		id, err := w.owned(t, kind, key)
		if err != nil {
			return err
		}
		if kind == directory.ApplicationObject {
			a, err := w.tx.Application(t, id)
			if err != nil {
				return fmt.Errorf("finding application: %w", err)
			}
			if err := w.mayBecome(a); err != nil {
				return err
			}
		} else if err := w.ownable(t, id); err != nil {
			return err
		}
		return w.addOwner(t, id, owner)
	})
	return err
}

// ownable refuses owners to what only the resource manager keeps.
func (w *writer) ownable(t directory.TenantID, id directory.ObjectID) error {
	p, err := w.tx.Principal(t, id)
	if err != nil {
		return fmt.Errorf("finding service principal: %w", err)
	}
	return w.editable(p)
}

func (w *writer) addOwner(t directory.TenantID, id, owner directory.ObjectID) error {
	o, err := w.object(t, owner)
	if err != nil {
		return err
	}
	if o == nil {
		return absent(owner.String())
	}
	return w.link(t, directory.OwnerRelation, id, o.Reference())
}

// RemoveOwner takes an owner away; Invalid when it is none.
func (s *Service) RemoveOwner(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind, key Key, owner directory.ObjectID) error {
	_, err := s.change(ctx, ownerAttempt(Delete, t, kind, key, owner), false, caller, func(w *writer) error {
		id, err := w.owned(t, kind, key)
		if err != nil {
			return err
		}
		links, err := w.tx.Links(t, directory.OwnerRelation, id)
		if err != nil {
			return fmt.Errorf("reading owners: %w", err)
		}
		if !slices.Contains(idsOf(links), owner) {
			return problem.Newf(problem.Invalid, "", "One or more removed object references do not exist for the following modified properties: 'owners'.")
		}
		return w.unlink(t, directory.OwnerRelation, id, owner)
	})
	return err
}

func ownerAttempt(op Op, t directory.TenantID, kind directory.ObjectKind, key Key, owner directory.ObjectID) audit.Change {
	return attempt(op, t, linkKind(kind, directory.OwnerRelation), owner.String(), audit.Clip(key.String()+"/"+owner.String()), true)
}

// PrincipalView is a service principal with what it stands for: at most one of
// the others is set.
type PrincipalView struct {
	directory.ServicePrincipal
	Application *directory.Application
	Identity    *directory.ManagedIdentity
	FirstParty  *directory.FirstParty
}

func (w *writer) viewOf(p *directory.ServicePrincipal) (PrincipalView, error) {
	v := PrincipalView{ServicePrincipal: *p}
	var err error
	if p.Kind == directory.IdentityPrincipal {
		v.Identity, err = found(w.tx.Identity(p.Tenant, p.ID))
		return v, err
	}
	for _, fp := range w.cloud.FirstParties() {
		if fp.ClientID == p.ClientID {
			v.FirstParty = &fp
			return v, nil
		}
	}
	v.Application, err = found(w.tx.ApplicationByClientID(p.ClientID))
	return v, err
}

// Principals reads the service principals that the selection picks, in its order.
func (s *Service) Principals(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) ([]PrincipalView, error) {
	var all []PrincipalView
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		found, err := w.tx.SelectPrincipals(t, sel)
		if err != nil {
			return err
		}
		all = nil
		for i := range found {
			v, err := w.viewOf(&found[i])
			if err != nil {
				return fmt.Errorf("reading what a service principal stands for: %w", err)
			}
			all = append(all, v)
		}
		return nil
	})
	return all, err
}

// CountPrincipals counts those that Principals would read without a limit.
func (s *Service) CountPrincipals(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) (int, error) {
	return s.count(ctx, caller, t, directory.PrincipalObject, sel)
}

// PrincipalOf reads one service principal; NotFound when there is none.
func (s *Service) PrincipalOf(ctx context.Context, caller Caller, t directory.TenantID, key Key) (*PrincipalView, error) {
	var v PrincipalView
	err := s.read(ctx, caller, func(w *writer) error {
		p, err := w.allowedPrincipalWith(t, key)
		if err != nil {
			return err
		}
		v, err = w.viewOf(p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &v, nil
}

func (w *writer) allowedPrincipalWith(t directory.TenantID, key Key) (p *directory.ServicePrincipal, err error) {
	if key.ID.IsZero() {
		p, err = found(w.tx.PrincipalByClientID(t, key.ClientID))
	} else {
		p, err = found(w.tx.Principal(t, key.ID))
	}
	if err != nil {
		return nil, fmt.Errorf("finding service principal: %w", err)
	}
	if p == nil {
		return nil, w.nothingThere(t, key.String())
	}
	if err := w.allow(t, access.Object{ID: p.ID}); err != nil {
		return nil, err
	}
	return p, nil
}

// editable refuses to change what clients may only look at.
func (w *writer) editable(p *directory.ServicePrincipal) error {
	switch {
	case p.Kind == directory.IdentityPrincipal:
		return problem.Newf(problem.Invalid, "", "%s is a managed identity: it is changed and deleted through the resource manager, and has no owners and no credentials of its own here", p.Name)
	case w.firstParty(p):
		return problem.Newf(problem.Invalid, "", "%s is a resource that every tenant has: it cannot be changed or deleted", p.Name)
	}
	return nil
}

// ChangePrincipal lets edit change what may change of a service principal.
func (s *Service) ChangePrincipal(ctx context.Context, caller Caller, t directory.TenantID, key Key, edit func(*PrincipalView) error) error {
	_, err := s.change(ctx, attempt(Update, t, "servicePrincipal", key.ID.String(), key.String(), false), false, caller, func(w *writer) error {
		before, err := w.allowedPrincipalWith(t, key)
		if err != nil {
			return err
		}
		v, err := w.viewOf(before)
		if err != nil {
			return fmt.Errorf("reading what a service principal stands for: %w", err)
		}
		if err := w.editable(before); err != nil {
			return err
		}
		if err := edit(&v); err != nil {
			return err
		}
		return w.updateProvisioned(before, &v.ServicePrincipal)
	})
	return err
}

// The texts that clients wait for.
const (
	noApplication = "The appId '%s' of the service principal does not reference a valid application object."
	nameInUse     = "The service principal cannot be created, updated, or restored because the service principal name %s is already in use."
	notLocal      = "When using this permission, the backing application of the service principal being created must in the local tenant"
)

// ErrNotLocal is wrapped by the problem that refuses to provision another tenant's
// application to a caller who may create for itself alone.
var ErrNotLocal = fmt.Errorf("not local")

// ProvisionPrincipal makes the service principal of an application: of this
// tenant's, or of another tenant's that serves several. Edit sets what may be set
// of it. What is not there, and what is another tenant's own, are told alike.
func (s *Service) ProvisionPrincipal(ctx context.Context, caller Caller, t directory.TenantID, id directory.ClientID, owners []directory.ObjectID, edit func(*PrincipalView) error) (*PrincipalView, error) {
	var v PrincipalView
	_, err := s.change(ctx, attempt(Create, t, "servicePrincipal", "", id.String(), true), false, caller, func(w *writer) error {
		// Step 1: May the caller?
		self, err := w.allowNew(t, "microsoft.directory/servicePrincipals/createAsOwner", true)
		if err != nil {
			return err
		}

		// Step 2: Is there such an application for this tenant?
		a, err := found(w.tx.ApplicationByClientID(id))
		if err != nil {
			return fmt.Errorf("finding application: %w", err)
		}
		there, err := found(w.tx.PrincipalByClientID(t, id))
		if err != nil {
			return fmt.Errorf("finding service principal: %w", err)
		}
		if there != nil {
			return problem.Newf(problem.Conflict, "servicePrincipalNames", nameInUse, id)
		}
		if a == nil || a.Tenant != t && !a.Audience.ForeignTenants() {
			return problem.Newf(problem.Invalid, "", noApplication, id)
		}
		if self && a.Tenant != t {
			return problem.Wrap(problem.Denied, ErrNotLocal, notLocal)
		}
		if self && w.caller.Access.User {
			owned, err := w.owns(a.ID)
			if err != nil {
				return err
			}
			if !owned {
				return denied(&access.Refusal{Reason: access.RoleMissing, Action: w.caller.Need.Action, Mend: "make the user an owner of the application"})
			}
		}

		// Step 3: Make it.
		if err := w.freeNames(t, directory.ObjectID{}, a.IdentifierURIs); err != nil {
			return err
		}
		p := w.homeOf(a, false)
		p.Tenant, p.Created = t, w.now
		v = PrincipalView{ServicePrincipal: *p, Application: a}
		if err := edit(&v); err != nil {
			return err
		}
		if err := w.createHome(&v.ServicePrincipal); err != nil {
			return err
		}
		return w.setOwners(t, v.ID, owners, self)
	})
	if err != nil {
		return nil, err
	}
	return &v, nil
}
