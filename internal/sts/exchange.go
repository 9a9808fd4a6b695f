package sts

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/token"
	"github.com/avouch/avouch/internal/trust"
)

// Request is a client_credentials request whose form has been checked.
type Request struct {
	Tenant    string // as it stands in the path
	ClientID  string
	Assertion string
	Resource  string // identifier of the target, without /.default
}

// Response is an issued access token.
type Response struct {
	Token     string
	Resource  string // as asked for
	Expires   time.Time
	NotBefore time.Time
	ExpiresIn time.Duration // from now
}

// Exchange issues an access token for the application in the tenant of the
// path, if the assertion speaks for it. The error is a *Refusal for every "no";
// any other error is a fault. rec is filled in as the story goes.
func (s *Service) Exchange(ctx context.Context, req Request, rec *audit.SignIn) (*Response, error) {
	grant, err := s.decide(ctx, req, rec)
	if err != nil {
		return nil, err
	}

	// Step 5: Mint it.
	key := s.keys.Active()
	signed, err := token.Sign(grant, key.ID, key)
	if err != nil {
		return nil, fault("signing", err)
	}
	rec.KeyID, rec.TokenID, rec.Token, rec.Expires = key.ID, grant.ID, audit.HashOf(signed), grant.Expires
	return &Response{
		Token: signed, Resource: req.Resource, Expires: grant.Expires, NotBefore: grant.Issued,
		ExpiresIn: grant.Expires.Sub(grant.Issued) - token.Backdate - time.Second,
	}, nil
}

// decide is the exchange up to the signature. The order of its steps is the
// security argument: nothing in the request is believed before step 2 returns,
// nothing is granted before step 4.
func (s *Service) decide(ctx context.Context, req Request, rec *audit.SignIn) (*token.Grant, error) {
	now := s.now()

	// Step 1: Find the parties named in the request.
	tenant, err := s.tenant(ctx, req.Tenant, rec)
	if err != nil {
		return nil, err
	}
	client, err := s.client(ctx, tenant, req.ClientID, rec)
	if err != nil {
		return nil, err
	}

	// Step 2: Verify the proof. Signature, algorithm, times; no policy yet.
	// The issuer is picked among the client's own credentials before any key
	// is looked for.
	proof, err := assertion.Parse(req.Assertion)
	if err != nil {
		return nil, proofRefusal(err, client)
	}
	rec.Issuer, rec.Subject = audit.Clip(proof.Issuer()), audit.Clip(proof.Subject())
	rec.AssertionKey, rec.Assertion = audit.Clip(proof.KeyID()), audit.HashOf(req.Assertion)
	facts := trust.Facts{Cloud: s.cloud, Client: client}
	if strings.EqualFold(proof.Issuer(), req.ClientID) {
		return nil, &Refusal{Reason: trust.CertificateUnknown, Value: proof.KeyID(), Client: client}
	}
	if v := trust.Select(proof.Issuer(), facts); !v.OK() {
		return nil, s.notTrusted(ctx, v, offerUnverified(proof), facts)
	}
	form, issuerTenant := s.cloud.OwnIssuer(proof.Issuer())
	if form == directory.NotOurs {
		return nil, &Refusal{Reason: trust.IssuerUnreachable, Value: proof.Issuer(), Client: client,
			Detail: "this platform verifies assertions of its own managed identities only; it does not fetch the keys of other issuers"}
	}
	claims, err := s.verifier.Verify(proof, s.ownExpectation(), now)
	if err != nil {
		return nil, proofRefusal(err, client)
	}
	rec.Audience = audit.Clip(claims.Audience)

	// Step 3: Decide whether this proof speaks for this client. What the
	// subject is comes from the directory as it is now, not from the claims.
	facts.Identity, facts.Principal, err = s.subject(ctx, issuerTenant, claims)
	if err != nil {
		return nil, err
	}
	verdict := trust.Decide(offer(claims), facts)
	if !verdict.OK() {
		return nil, s.notTrusted(ctx, verdict, offer(claims), facts)
	}
	rec.Credential, rec.CredentialID = verdict.Credential.Name, verdict.Credential.ID

	// Step 4: Work out what the token may say. Everything in it comes from the
	// directory records just read, never from the request.
	principal, err := s.principal(ctx, tenant, client)
	if err != nil {
		return nil, err
	}
	rec.PrincipalID = principal.ID
	resource, roles, err := s.target(ctx, tenant, principal, req.Resource, rec)
	if err != nil {
		return nil, withClient(err, client)
	}
	issued := now.Add(-token.Backdate).Truncate(time.Second)
	return &token.Grant{
		Version:   resource.TokenVersion,
		Issuer:    s.issuer(resource.TokenVersion, tenant.ID),
		Audience:  audience(resource, req.Resource),
		Tenant:    tenant.ID,
		Principal: principal.ID,
		Client:    client.ClientID,
		Roles:     roles,
		// A managed identity that is a client is one through a federated
		// credential: its token must never pass for one that its host vouched for.
		Federated: client.Kind == directory.IdentityPrincipal,
		ID:        newTokenID(),
		Issued:    issued,
		Expires:   issued.Add(token.Backdate + accessTokenLife()),
	}, nil
}

// tenant resolves the tenant of the path: a GUID or a verified domain.
func (s *Service) tenant(ctx context.Context, name string, rec *audit.SignIn) (*directory.Tenant, error) {
	rec.TenantName = audit.Clip(name)
	switch strings.ToLower(name) {
	case "common", "organizations", "consumers":
		return nil, refuse(trust.TenantNotNamed, name)
	}
	tenant, err := s.dir.Tenant(ctx, name)
	switch {
	case err == nil:
		rec.Tenant, rec.TenantName = tenant.ID, tenant.Name
		return tenant, nil
	case !errors.Is(err, directory.ErrNotFound):
		return nil, fault("finding the tenant", err)
	}
	if _, err := directory.ParseTenantID(name); err != nil && directory.ValidateDomain("", strings.ToLower(name)) != nil {
		return nil, refuse(trust.TenantMalformed, name)
	}
	return nil, refuse(trust.TenantUnknown, name)
}

// client finds what the client id names, in its home tenant.
func (s *Service) client(ctx context.Context, tenant *directory.Tenant, id string, rec *audit.SignIn) (*directory.Client, error) {
	unknown := &Refusal{Reason: trust.ClientUnknown, Value: id, Tenant: tenant}
	clientID, err := directory.ParseClientID(id)
	if err != nil {
		return nil, unknown
	}
	rec.ClientID = clientID
	client, err := s.dir.Client(ctx, clientID)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, fault("finding the client", err)
	}
	// A single-tenant application does not exist for other tenants.
	if client.Tenant != tenant.ID && !client.Audience.ForeignTenants() {
		return nil, unknown
	}
	rec.ClientName, rec.HomeTenant = client.Name, client.Tenant
	if client.Disabled {
		return nil, &Refusal{Reason: trust.ClientDisabled, Value: id, Tenant: tenant, Client: client}
	}
	return client, nil
}

// principal finds the client's service principal in the tenant.
func (s *Service) principal(ctx context.Context, tenant *directory.Tenant, client *directory.Client) (*directory.ServicePrincipal, error) {
	principal, err := s.dir.Principal(ctx, tenant.ID, client.ClientID)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, &Refusal{Reason: trust.PrincipalMissing, Value: client.ClientID.String(), Tenant: tenant, Client: client,
			Detail: "the application is not provisioned in tenant " + tenant.Name + "; its administrator adds it under servicePrincipals"}
	}
	if err != nil {
		return nil, fault("finding the service principal", err)
	}
	if principal.Disabled {
		return nil, &Refusal{Reason: trust.ClientDisabled, Value: client.ClientID.String(), Tenant: tenant, Client: client}
	}
	return principal, nil
}

// target finds the resource in the tenant, and the roles the principal holds
// on it.
func (s *Service) target(ctx context.Context, tenant *directory.Tenant, principal *directory.ServicePrincipal, identifier string, rec *audit.SignIn) (*directory.Resource, []string, error) {
	rec.Resource = audit.Clip(identifier)
	resource, err := s.dir.Resource(ctx, tenant.ID, identifier)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, nil, &Refusal{Reason: trust.ResourceUnknown, Value: identifier, Tenant: tenant}
	}
	if err != nil {
		return nil, nil, fault("finding the resource", err)
	}
	rec.ResourceID, rec.ResourceName = resource.Principal.ClientID, resource.Principal.Name
	if resource.Principal.Disabled {
		return nil, nil, &Refusal{Reason: trust.ResourceDisabled, Value: identifier, Tenant: tenant, Resource: resource}
	}
	roles, err := s.dir.Roles(ctx, tenant.ID, principal.ID, resource.Principal.ID)
	if err != nil {
		return nil, nil, fault("finding app roles", err)
	}
	if resource.Principal.AssignmentRequired && len(roles) == 0 {
		return nil, nil, &Refusal{Reason: trust.NotAssigned, Value: identifier, Tenant: tenant, Resource: resource}
	}
	return resource, roles, nil
}

// subject looks up what a token of our own speaks for, in its issuer's tenant.
func (s *Service) subject(ctx context.Context, tenant directory.TenantID, claims *assertion.Claims) (identity *directory.ManagedIdentity, isPrincipal bool, err error) {
	id, err := directory.ParseObjectID(claims.Subject)
	if err != nil || claims.ObjectID != claims.Subject {
		return nil, false, nil
	}
	identity, err = s.dir.Identity(ctx, tenant, id)
	if err == nil {
		return identity, true, nil
	}
	if !errors.Is(err, directory.ErrNotFound) {
		return nil, false, fault("finding the managed identity", err)
	}
	// An application's token names its client: if that client still has this
	// service principal, the subject is an application, not a lost identity.
	client := claims.AuthorizedParty
	if client == "" {
		client = claims.AppID
	}
	clientID, err := directory.ParseClientID(client)
	if err != nil {
		return nil, false, nil
	}
	principal, err := s.dir.Principal(ctx, tenant, clientID)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return nil, false, fault("finding the subject", err)
	}
	return nil, err == nil && principal.ID == id, nil
}

func (s *Service) ownExpectation() assertion.Expectation {
	return assertion.Expectation{
		Keys: s.ownKeySet(), Algorithms: ownAlgorithms, Skew: Skew, MaxLife: identityLife,
	}
}

var ownAlgorithms = []string{"RS256"}

func offer(c *assertion.Claims) trust.Offer {
	client := c.AuthorizedParty
	if client == "" {
		client = c.AppID
	}
	return trust.Offer{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, ClientID: client,
		AppOnly: c.IDType == "app" && c.Scope == "", Federated: c.Federated,
	}
}

func offerUnverified(u *assertion.Unverified) trust.Offer {
	if claims, err := u.ClaimsUnverified(); err == nil {
		return offer(&claims)
	}
	return trust.Offer{Issuer: u.Issuer(), Subject: u.Subject()}
}

// proofRefusal turns what the verifier says into a refusal.
func proofRefusal(err error, client *directory.Client) error {
	var e *assertion.Error
	if !errors.As(err, &e) {
		return fault("verifying the assertion", err)
	}
	r := &Refusal{Client: client, Detail: e.Detail, NotBefore: e.NotBefore, Expires: e.Expires, KeyID: e.KeyID}
	switch e.Fault {
	case assertion.UnknownKey:
		r.Reason = trust.ProofKeyUnknown
	case assertion.BadSignature, assertion.Unsupported:
		r.Reason = trust.ProofSignature
	case assertion.Expired, assertion.NotYetValid, assertion.LifeTooLong:
		r.Reason = trust.ProofExpired
	case assertion.BadClaims:
		r.Reason = trust.ProofClaims
	default:
		r.Reason = trust.ProofMalformed
	}
	return r
}

func withClient(err error, client *directory.Client) error {
	if r, ok := AsRefusal(err); ok {
		r.Client = client
	}
	return err
}
