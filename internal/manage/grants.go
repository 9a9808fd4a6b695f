package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// maxGrantedScopes is how many scopes one grant may name. It is ours: the real
// service bounds the text.
const maxGrantedScopes = 200

// Grants lists the permission grants of one client, or of the whole tenant when
// it is zero.
func (s *Service) Grants(ctx context.Context, caller Caller, t directory.TenantID, client directory.ObjectID) ([]directory.PermissionGrant, error) {
	var all []directory.PermissionGrant
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{ID: client}); err != nil {
			return err
		}
		if client.IsZero() {
			all, err = w.tx.Grants(t)
		} else {
			all, err = w.tx.GrantsOf(t, client)
		}
		if err != nil {
			return fmt.Errorf("reading permission grants: %w", err)
		}
		return nil
	})
	return all, err
}

// Grant finds a permission grant; NotFound when there is none.
func (s *Service) Grant(ctx context.Context, caller Caller, t directory.TenantID, id string) (*directory.PermissionGrant, error) {
	var g *directory.PermissionGrant
	err := s.read(ctx, caller, func(w *writer) (err error) {
		g, err = w.allowedGrant(t, id)
		return err
	})
	return g, err
}

func (w *writer) allowedGrant(t directory.TenantID, id string) (*directory.PermissionGrant, error) {
	if err := w.allow(t, access.Object{}); err != nil {
		return nil, err
	}
	g, err := found(w.tx.Grant(t, id))
	if err != nil {
		return nil, fmt.Errorf("finding a permission grant: %w", err)
	}
	if g == nil {
		return nil, absent(id)
	}
	return g, nil
}

// CreateGrant lets a client act on a resource for one user or for all; the id
// follows from the parties. A second grant between the same parties is a
// Conflict.
func (s *Service) CreateGrant(ctx context.Context, caller Caller, t directory.TenantID, g directory.PermissionGrant) (*directory.PermissionGrant, error) {
	offered := g
	name := offered.Client.String() + " on " + offered.Resource.String()
	_, err := s.change(ctx, attempt(Create, t, "permissionGrant", "", name, true), false, caller, func(w *writer) error {
		if err := w.allow(t, access.Object{New: true}); err != nil {
			return err
		}
		g = offered
		g.Tenant, g.ID = t, directory.PermissionGrantID(g.Client, g.Resource, g.User)
		for _, id := range []directory.ObjectID{g.Client, g.Resource} {
			p, err := w.object(t, id, directory.PrincipalObject)
			if err != nil {
				return err
			}
			if p == nil {
				return absent(id.String())
			}
		}
		if !g.User.IsZero() {
			u, err := w.object(t, g.User, directory.UserObject)
			if err != nil {
				return err
			}
			if u == nil {
				return absent(g.User.String())
			}
		}
		if err := validScopes(g.Scopes); err != nil {
			return err
		}
		err := w.tx.InsertGrant(&g)
		if errors.Is(err, directory.ErrConflict) {
			return problem.Newf(problem.Conflict, "", "Permission entry already exists.")
		}
		if err != nil {
			return fmt.Errorf("writing a permission grant: %w", err)
		}
		target, err := w.grantTarget(&g)
		if err != nil {
			return err
		}
		return w.record(change{op: Create, tenant: t, high: true, target: target, after: grantFields(&g)})
	})
	if err != nil {
		return nil, err
	}
	return &g, nil
}

// UpdateGrant changes the scopes of a permission grant. Edit gets the grant as
// it is, and may refuse; what else it changes is not kept.
func (s *Service) UpdateGrant(ctx context.Context, caller Caller, t directory.TenantID, id string, edit func(*directory.PermissionGrant) error) error {
	_, err := s.change(ctx, attempt(Update, t, "permissionGrant", audit.Clip(id), audit.Clip(id), true), false, caller, func(w *writer) error {
		before, err := w.allowedGrant(t, id)
		if err != nil {
			return err
		}
		after := *before
		if err := edit(&after); err != nil {
			return err
		}
		if err := validScopes(after.Scopes); err != nil {
			return err
		}
		if slices.Equal(before.Scopes, after.Scopes) {
			return nil
		}
		if err := w.tx.UpdateGrant(&after); err != nil {
			return fmt.Errorf("writing a permission grant: %w", err)
		}
		target, err := w.grantTarget(&after)
		if err != nil {
			return err
		}
		return w.record(change{op: Update, tenant: t, high: true, target: target, before: grantFields(before), after: grantFields(&after)})
	})
	return err
}

// DeleteGrant takes a permission grant away; NotFound when there is none.
func (s *Service) DeleteGrant(ctx context.Context, caller Caller, t directory.TenantID, id string) error {
	_, err := s.change(ctx, attempt(Delete, t, "permissionGrant", audit.Clip(id), audit.Clip(id), true), false, caller, func(w *writer) error {
		g, err := w.allowedGrant(t, id)
		if err != nil {
			return err
		}
		return w.revoke(g)
	})
	return err
}

func (w *writer) revoke(g *directory.PermissionGrant) error {
	target, err := w.grantTarget(g)
	if err != nil {
		return err
	}
	if err := w.tx.DeleteGrant(g.Tenant, g.ID); err != nil {
		return fmt.Errorf("deleting a permission grant: %w", err)
	}
	return w.record(change{op: Delete, tenant: g.Tenant, high: true, target: target, before: grantFields(g)})
}

// validScopes checks the shape of scopes (RFC 6749, appendix A.4). Whether the
// resource offers them is not asked: a grant may come before its scope.
func validScopes(scopes []string) error {
	if len(scopes) > maxGrantedScopes {
		return problem.Newf(problem.Invalid, "scope", "names %d scopes; at most %d are allowed", len(scopes), maxGrantedScopes)
	}
	for _, scope := range scopes {
		if len(scope) > 240 || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
			return problem.Newf(problem.Invalid, "scope", "holds a name that is not a scope")
		}
	}
	return nil
}

func (w *writer) grantTarget(g *directory.PermissionGrant) (audit.Target, error) {
	parties, err := w.objects(g.Tenant, []directory.ObjectID{g.Client, g.Resource}, []directory.ObjectKind{directory.PrincipalObject})
	if err != nil {
		return audit.Target{}, err
	}
	names := map[directory.ObjectID]string{g.Client: g.Client.String(), g.Resource: g.Resource.String()}
	for _, p := range parties {
		names[p.Principal.ID] = p.Principal.Name
	}
	return audit.Target{Kind: "permissionGrant", ID: g.ID, Name: w.name(g.Tenant, names[g.Client]) + " on " + names[g.Resource]}, nil
}

func grantFields(g *directory.PermissionGrant) []field {
	return []field{
		textField("clientId", g.Client.String()), textField("resourceId", g.Resource.String()),
		textField("principalId", g.User.String()), textField("scope", strings.Join(g.Scopes, " ")),
	}
}
