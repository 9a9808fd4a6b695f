package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Key names an application or a service principal of a tenant by one of its
// keys: the first that is set.
type Key struct {
	ID         directory.ObjectID
	ClientID   directory.ClientID
	UniqueName string // of an application
}

func (k Key) String() string {
	switch {
	case !k.ID.IsZero():
		return k.ID.String()
	case !k.ClientID.IsZero():
		return k.ClientID.String()
	}
	return k.UniqueName
}

// ErrStillEnabled is wrapped by the problem that refuses to take an app role or
// a scope from an application before it is disabled.
var ErrStillEnabled = errors.New("still enabled")

// PublisherDomain is the domain that applications of the tenant are published
// under: its first verified one, "" when there is none.
func (s *Service) PublisherDomain(ctx context.Context, t directory.TenantID) (string, error) {
	var domain string
	err := s.view(ctx, func(w *writer) error {
		tenant, err := w.tx.Tenant(t)
		if err != nil {
			return fmt.Errorf("finding tenant: %w", err)
		}
		if len(tenant.Domains) > 0 {
			domain = tenant.Domains[0]
		}
		return nil
	})
	return domain, err
}

// Applications reads those that the selection picks, in its order.
func (s *Service) Applications(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) ([]directory.Application, error) {
	var all []directory.Application
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		all, err = w.tx.SelectApplications(t, sel)
		return err
	})
	return all, err
}

// CountApplications counts those that Applications would read without a limit.
func (s *Service) CountApplications(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) (int, error) {
	return s.count(ctx, caller, t, directory.ApplicationObject, sel)
}

// Application reads one; NotFound when there is none.
func (s *Service) Application(ctx context.Context, caller Caller, t directory.TenantID, key Key) (*directory.Application, error) {
	var a *directory.Application
	err := s.read(ctx, caller, func(w *writer) (err error) {
		a, err = w.allowedApplication(t, key)
		return err
	})
	return a, err
}

// applicationWith finds an application of the tenant; nil when there is none.
func (w *writer) applicationWith(t directory.TenantID, key Key) (*directory.Application, error) {
	switch {
	case !key.ID.IsZero():
		return found(w.tx.Application(t, key.ID))
	case !key.ClientID.IsZero():
		a, err := found(w.tx.ApplicationByClientID(key.ClientID))
		if a != nil && a.Tenant != t {
			a = nil
		}
		return a, err
	case key.UniqueName == "":
		return nil, nil
	}
	all, err := w.tx.SelectApplications(t, directory.Selection{UniqueName: key.UniqueName})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// allowedApplication finds an application and decides whether the caller may.
func (w *writer) allowedApplication(t directory.TenantID, key Key) (*directory.Application, error) {
	a, err := w.applicationWith(t, key)
	if err != nil {
		return nil, fmt.Errorf("finding application: %w", err)
	}
	if a == nil {
		return nil, w.nothingThere(t, key.String())
	}
	if err := w.allow(t, access.Object{ID: a.ID}); err != nil {
		return nil, err
	}
	return a, nil
}

// nothingThere is the answer for an object that is not there: nothing is told to
// who could not have done this to any object, be it his own.
func (w *writer) nothingThere(t directory.TenantID, name string) error {
	if err := w.allow(t, access.Object{Owned: true}); err != nil {
		return err
	}
	return absent(name)
}

// allowNew decides whether the caller may create an object, and whether he
// becomes its owner: who may create for anybody does not; who may for himself
// alone does. Every member user may, by default, where asOwner is said to be
// free.
func (w *writer) allowNew(t directory.TenantID, asOwner string, free bool) (owner bool, err error) {
	full := w.allow(t, access.Object{})
	if full == nil || problem.KindOf(full) != problem.Denied || errors.Is(full, ErrCallerGone) {
		return false, full
	}
	refused := w.allow(t, access.Object{New: true})
	if refused == nil {
		return true, nil
	}
	stated := w.caller.Need
	defer func() { w.caller.Need = stated }()
	w.caller.Need.Action = asOwner
	w.caller.Need.Member = free && w.caller.Access.User
	if w.allow(t, access.Object{New: true}) != nil {
		return false, refused
	}
	return true, nil
}

// RegisterApplication makes an application without a service principal, whose
// ids and time are given here. Owners are users or service principals of the
// tenant. A caller that may register for itself alone becomes an owner.
func (s *Service) RegisterApplication(ctx context.Context, caller Caller, t directory.TenantID, a directory.Application, owners []directory.ObjectID) (*directory.Application, error) {
	offered := a
	_, err := s.change(ctx, attempt(Create, t, "application", "", audit.Clip(offered.Name), false), false, caller, func(w *writer) error {
		self, err := w.allowNew(t, "microsoft.directory/applications/createAsOwner", true)
		if err != nil {
			return err
		}
		a = offered
		return w.register(t, &a, owners, self)
	})
	if err != nil {
		return nil, err
	}
	return &a, nil
}

func (w *writer) register(t directory.TenantID, a *directory.Application, owners []directory.ObjectID, self bool) error {
	a.Tenant, a.ID, a.ClientID, a.Created = t, w.newObjectID(), w.newClientID(), w.now
	if err := w.createApplication(a, nil); err != nil {
		return err
	}
	return w.setOwners(t, a.ID, owners, self)
}

// setOwners gives a new object its owners, the caller among them if self.
func (w *writer) setOwners(t directory.TenantID, id directory.ObjectID, owners []directory.ObjectID, self bool) error {
	if self && !slices.Contains(owners, w.caller.Access.Principal) {
		owners = append(slices.Clone(owners), w.caller.Access.Principal)
	}
	for _, owner := range owners {
		if err := w.addOwner(t, id, owner); err != nil {
			return err
		}
	}
	return nil
}

// ChangeApplication lets edit change an application as it now is. Edit may be
// called once more than it takes effect, and what it returns is returned. An app
// role or scope must be disabled before it goes (ErrStillEnabled).
func (s *Service) ChangeApplication(ctx context.Context, caller Caller, t directory.TenantID, key Key, edit func(*directory.Application) error) (*directory.Application, error) {
	var after directory.Application
	_, err := s.change(ctx, attempt(Update, t, "application", key.ID.String(), audit.Clip(key.String()), false), false, caller, func(w *writer) error {
		before, err := w.allowedApplication(t, key)
		if err != nil {
			return err
		}
		after = *before
		return w.edit(before, &after, edit)
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}

func (w *writer) edit(before, after *directory.Application, edit func(*directory.Application) error) error {
	after.IdentifierURIs, after.AppRoles = slices.Clone(before.IdentifierURIs), slices.Clone(before.AppRoles)
	after.Scopes, after.Keys = slices.Clone(before.Scopes), slices.Clone(before.Keys)
	if err := edit(after); err != nil {
		return err
	}
	if err := stillEnabled(before, after); err != nil {
		return err
	}
	if before.UniqueName != "" && before.UniqueName != after.UniqueName {
		return problem.Newf(problem.Invalid, "uniqueName", "cannot be changed once it is set")
	}
	return w.updateApplication(before, after, nil)
}

// PutApplication changes the application with the unique name, or registers one
// where there is none; created tells which. Make gives the new application.
func (s *Service) PutApplication(ctx context.Context, caller Caller, t directory.TenantID, uniqueName string, createNeed access.Permission, edit func(*directory.Application) error, make func() (directory.Application, []directory.ObjectID, error)) (a *directory.Application, created bool, err error) {
	_, err = s.change(ctx, attempt(Update, t, "application", "", audit.Clip(uniqueName), false), false, caller, func(w *writer) error {
		before, err := w.applicationWith(t, Key{UniqueName: uniqueName})
		if err != nil {
			return fmt.Errorf("finding application: %w", err)
		}
		if before != nil {
			created = false
			if err := w.allow(t, access.Object{ID: before.ID}); err != nil {
				return err
			}
			after := *before
			a = &after
			return w.edit(before, a, edit)
		}
		created = true
		w.caller.Need = createNeed
		self, err := w.allowNew(t, "microsoft.directory/applications/createAsOwner", true)
		if err != nil {
			return err
		}
		fresh, owners, err := make()
		if err != nil {
			return err
		}
		fresh.UniqueName = uniqueName
		a = &fresh
		return w.register(t, a, owners, self)
	})
	if err != nil {
		return nil, false, err
	}
	return a, created, nil
}

// stillEnabled refuses to take away, or to rename, what tokens may name at this
// moment.
func stillEnabled(before, after *directory.Application) error {
	refused := problem.Wrap(problem.Invalid, ErrStillEnabled, "Permission (scope or role) cannot be deleted or updated unless disabled first.")
	for _, r := range before.AppRoles {
		i := slices.IndexFunc(after.AppRoles, func(x directory.AppRole) bool { return x.ID == r.ID })
		if !r.Disabled && (i < 0 || after.AppRoles[i].Value != r.Value) {
			return refused
		}
	}
	for _, s := range before.Scopes {
		i := slices.IndexFunc(after.Scopes, func(x directory.PermissionScope) bool { return x.ID == s.ID })
		if !s.Disabled && (i < 0 || after.Scopes[i].Value != s.Value) {
			return refused
		}
	}
	return nil
}

// ApplicationCredentials lists the federated credentials of an application by
// name, and the application.
func (s *Service) ApplicationCredentials(ctx context.Context, caller Caller, t directory.TenantID, key Key) ([]directory.FederatedCredential, *directory.Application, error) {
	var all []directory.FederatedCredential
	var a *directory.Application
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if a, err = w.allowedApplication(t, key); err != nil {
			return err
		}
		all, err = w.tx.Credentials(t, a.ID)
		return err
	})
	return all, a, err
}

// PutApplicationCredential changes the credential of an application that name
// gives (by its id or its name), or adds one. Edit changes the credential as it
// now is; it is nil where nothing may be changed, and add where nothing may be
// added. The rules are those of CreateFederatedCredential, and nobody climbs by a
// credential (threats X10).
func (s *Service) PutApplicationCredential(ctx context.Context, caller Caller, t directory.TenantID, key Key, name string, edit, add func(*directory.FederatedCredential) error) (c *directory.FederatedCredential, a *directory.Application, created bool, err error) {
	op := Update
	if edit == nil {
		op = Create
	}
	_, err = s.change(ctx, applicationCredentialAttempt(op, t, key, name), false, caller, func(w *writer) error {
		app, p, before, err := w.applicationCredential(t, key, name)
		if err != nil {
			return err
		}
		a = app
		if edit != nil && before != nil {
			created = false
			after := *before
			c = &after
			if err := edit(c); err != nil {
				return err
			}
			return w.updateCredential(p, before, c, config.Node{})
		}
		if add == nil {
			return absent(audit.Clip(name))
		}
		created = true
		c = &directory.FederatedCredential{ID: w.newObjectID()}
		if err := add(c); err != nil {
			return err
		}
		return w.createCredential(p, c, config.Node{})
	})
	if err != nil {
		return nil, a, false, err
	}
	return c, a, created, nil
}

// DeleteApplicationCredential removes a credential of an application, by its id or
// its name; NotFound when there is none. May is asked before, inside the change.
func (s *Service) DeleteApplicationCredential(ctx context.Context, caller Caller, t directory.TenantID, key Key, name string, may func(*directory.FederatedCredential) error) error {
	_, err := s.change(ctx, applicationCredentialAttempt(Delete, t, key, name), false, caller, func(w *writer) error {
		_, p, c, err := w.applicationCredential(t, key, name)
		if err != nil {
			return err
		}
		if c == nil {
			return absent(audit.Clip(name))
		}
		if err := may(c); err != nil {
			return err
		}
		return w.deleteCredential(p, c)
	})
	return err
}

func (w *writer) applicationCredential(t directory.TenantID, key Key, name string) (*directory.Application, parent, *directory.FederatedCredential, error) {
	a, err := w.allowedApplication(t, key)
	if err != nil {
		return nil, parent{}, nil, err
	}
	p := parent{t, a.ID, "application", w.name(t, a.Name)}
	all, err := w.tx.Credentials(t, a.ID)
	if err != nil {
		return nil, parent{}, nil, fmt.Errorf("reading credentials: %w", err)
	}
	return a, p, CredentialIn(all, name), nil
}

// CredentialIn is the credential that the id or else the name gives; nil when
// there is none.
func CredentialIn(all []directory.FederatedCredential, name string) *directory.FederatedCredential {
	if id, err := directory.ParseObjectID(name); err == nil {
		if i := slices.IndexFunc(all, func(c directory.FederatedCredential) bool { return c.ID == id }); i >= 0 {
			return &all[i]
		}
	}
	if i := slices.IndexFunc(all, func(c directory.FederatedCredential) bool { return c.Name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

func applicationCredentialAttempt(op Op, t directory.TenantID, key Key, name string) audit.Change {
	return attempt(op, t, credentialKind, "", audit.Clip(key.String()+"/"+name), true)
}
