package sts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/token"
	"github.com/avouch/avouch/internal/trust"
)

// IdentityRequest is a host's request for a managed identity's token. Which
// host it is has been established by the endpoint it came through.
type IdentityRequest struct {
	Tenant   directory.TenantID
	Host     directory.ObjectID
	Want     trust.Selector // zero: the host's default identity
	SoleUser bool           // without a selector, an only user-assigned identity will do
	Resource string
	Fresh    bool // do not answer from what was issued before
}

// IdentityResponse is an issued managed identity token. It is shared between
// requests: callers must not change it.
type IdentityResponse struct {
	Token     string
	Resource  string
	Identity  *directory.ManagedIdentity
	NotBefore time.Time
	Expires   time.Time
	Now       time.Time // by the clock that made the token
	Cached    bool      // nothing was signed for this request
}

// Identity issues the token of a managed identity to a host it is assigned
// to. Tokens are kept until half their life has passed; a kept token is given
// out only while the directory would still have it say the same, so that a
// change which matters makes it stale at once. The error is a *Refusal for
// every "no".
func (s *Service) Identity(ctx context.Context, req IdentityRequest, rec *audit.SignIn) (*IdentityResponse, error) {
	now := s.now()

	// Step 1: Find the host and the identities assigned to it.
	host, err := s.dir.Host(ctx, req.Tenant, req.Host)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, refuse(trust.HostUnknown, req.Host.String())
	}
	if err != nil {
		return nil, fault("finding the host", err)
	}
	tenant, err := s.dir.Tenant(ctx, req.Tenant.String())
	if err != nil {
		return nil, fault("finding the tenant", err)
	}
	rec.Tenant, rec.TenantName, rec.HomeTenant, rec.Host = tenant.ID, tenant.Name, tenant.ID, host.Name
	rec.Resource = audit.Clip(req.Resource)
	assigned, err := s.assigned(ctx, host)
	if err != nil {
		return nil, err
	}

	// Step 2: The proof is the endpoint itself: only workloads of the host
	// reach it.

	// Step 3: Decide which of the host's identities is meant.
	identity, reason := trust.ChooseIdentity(assigned, req.Want, req.SoleUser)
	if reason != "" {
		refusal := &Refusal{Reason: reason, Tenant: tenant, Detail: assignedNames(host, assigned)}
		if identity != nil {
			refusal.Value = identity.PrincipalID.String()
		}
		return nil, refusal
	}
	rec.ClientID, rec.ClientName, rec.PrincipalID = identity.ClientID, identity.Name, identity.PrincipalID

	// Step 4: Work out what the token may say.
	principal, err := s.dir.Principal(ctx, tenant.ID, identity.ClientID)
	if errors.Is(err, directory.ErrNotFound) || err == nil && principal.Disabled {
		return nil, &Refusal{Reason: trust.IdentityDisabled, Value: identity.PrincipalID.String(), Tenant: tenant}
	}
	if err != nil {
		return nil, fault("finding the service principal", err)
	}
	resource, roles, err := s.target(ctx, tenant, principal, req.Resource, rec)
	if err != nil {
		return nil, withClient(err, &directory.Client{
			Tenant: tenant.ID, ClientID: identity.ClientID, Name: identity.Name, Kind: directory.IdentityPrincipal,
		})
	}
	key := s.keys.Active()
	says := issuedKey{
		tenant: tenant.ID, principal: principal.ID, host: host.ID, resource: req.Resource,
		audience: audience(resource, req.Resource), version: resource.TokenVersion, roles: strings.Join(roles, " "),
		resourceID: identity.ResourceID, hostID: host.ResourceID, signer: key.ID,
	}

	// Step 5: Mint it, unless a token that says the same is still young.
	mint := func() (*IdentityResponse, error) {
		issued := now.Add(-token.Backdate).Truncate(time.Second)
		grant := &token.Grant{
			Version:   resource.TokenVersion,
			Issuer:    s.issuer(resource.TokenVersion, tenant.ID),
			Audience:  audience(resource, req.Resource),
			Tenant:    tenant.ID,
			Principal: principal.ID,
			Client:    identity.ClientID,
			Roles:     roles,
			Identity:  identity.ResourceID,
			Host:      host.ResourceID,
			ID:        newTokenID(),
			Issued:    issued,
			Expires:   issued.Add(token.Backdate + identityLife),
		}
		signed, err := token.Sign(grant, key.ID, key)
		if err != nil {
			return nil, fault("signing", err)
		}
		rec.KeyID, rec.TokenID, rec.Token, rec.Expires = key.ID, grant.ID, audit.HashOf(signed), grant.Expires
		return &IdentityResponse{
			Token: signed, Resource: req.Resource, Identity: identity,
			NotBefore: grant.Issued, Expires: grant.Expires, Now: now,
		}, nil
	}
	return s.issued.get(says, now, req.Fresh, mint)
}

// assigned lists the identities of the host. One that was deleted while the
// host still names it is left out.
func (s *Service) assigned(ctx context.Context, host *directory.Host) ([]*directory.ManagedIdentity, error) {
	assigned := make([]*directory.ManagedIdentity, 0, 4)
	add := func(principal directory.ObjectID) error {
		identity, err := s.dir.Identity(ctx, host.Tenant, principal)
		if errors.Is(err, directory.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fault("finding the managed identity", err)
		}
		assigned = append(assigned, identity)
		return nil
	}
	if !host.System.IsZero() {
		if err := add(host.System); err != nil {
			return nil, err
		}
	}
	for _, principal := range host.Identities {
		if err := add(principal); err != nil {
			return nil, err
		}
	}
	return assigned, nil
}

func assignedNames(host *directory.Host, assigned []*directory.ManagedIdentity) string {
	if len(assigned) == 0 {
		return "host " + host.Name + " has no managed identity"
	}
	names := make([]string, 0, len(assigned))
	for _, m := range assigned {
		name := m.Name + " (client id " + m.ClientID.String() + ")"
		if m.Kind == directory.SystemAssigned {
			name = "its system-assigned identity"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return "host " + host.Name + " has " + strings.Join(names, ", ")
}
