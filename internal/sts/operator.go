package sts

import (
	"context"
	"errors"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/token"
)

// commandLine is the client that the operator's tokens are issued to: the public
// client id of the Azure CLI, which clients of the management APIs expect.
var commandLine = directory.MustClientID("04b07795-8ddb-461a-bbee-02f9e1bf7b46")

// operatorScopes let a client do for its user whatever the user may.
var operatorScopes = []string{"Directory.AccessAsUser.All", "user_impersonation"}

// Operator issues an access token that acts for a user of the tenant, to a
// caller whom the operating system has shown to be the platform's own user.
// What it may do is the user's directory roles and role assignments, read at
// each use. rec is filled in as the story goes.
func (s *Service) Operator(ctx context.Context, user *directory.User, identifier string, rec *audit.SignIn) (string, time.Time, error) {
	resource, err := s.dir.Resource(ctx, user.Tenant, identifier)
	if errors.Is(err, directory.ErrNotFound) {
		return "", time.Time{}, problem.Newf(problem.NotFound, "resource", "tenant %s has no resource %q", user.Tenant, identifier)
	}
	if err != nil {
		return "", time.Time{}, fault("finding the resource", err)
	}
	issued := s.now().Add(-token.Backdate).Truncate(time.Second)
	grant := &token.Grant{
		Version: resource.TokenVersion, Issuer: s.issuer(resource.TokenVersion, user.Tenant), Audience: audience(resource, identifier),
		Tenant: user.Tenant, Principal: user.ID, Client: commandLine,
		User: &token.User{Name: user.Name, UPN: user.UPN}, Scopes: operatorScopes,
		ID: newTokenID(), Issued: issued, Expires: issued.Add(token.Backdate + accessTokenLife()),
	}
	key := s.keys.Active()
	signed, err := token.Sign(grant, key.ID, key)
	if err != nil {
		return "", time.Time{}, fault("signing", err)
	}
	rec.KeyID, rec.TokenID, rec.Token, rec.Expires = key.ID, grant.ID, audit.HashOf(signed), grant.Expires
	return signed, grant.Expires, nil
}
