package sts

import (
	"context"
	"errors"
	"fmt"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/trust"
)

// notTrusted is the refusal for a verdict, with the edit that mends it.
func (s *Service) notTrusted(ctx context.Context, v trust.Verdict, o trust.Offer, f trust.Facts) error {
	r := &Refusal{Reason: v.Reason, Client: f.Client, Value: o.Subject}
	switch v.Reason {
	case trust.IssuerMismatch, trust.ForeignCloud, trust.ForeignTenant, trust.V1Issuer:
		r.Value = o.Issuer
	case trust.AudienceMismatch, trust.TokenAudience, trust.CredentialAudience:
		r.Value = o.Audience
	case trust.NoCredentials:
		r.Detail = "the application has no federated identity credential; add one for this managed identity"
		return r
	}
	comparisons, err := s.compare(ctx, o, f)
	if err != nil {
		return err
	}
	if v.Credential == nil && len(f.Client.Credentials) > 0 {
		v.Credential = &f.Client.Credentials[0]
	}
	r.Detail = trust.Mend(v, comparisons)
	if rule := ruleOf(v.Reason, f); rule != "" {
		r.Detail = rule
	}
	return r
}

// ruleOf says which rule was broken when it is not a field that differs.
func ruleOf(reason trust.Reason, f trust.Facts) string {
	switch reason {
	case trust.ForeignCloud:
		return "tokens of another cloud are never accepted; use a managed identity of this cloud (" + f.Cloud.Name + ")"
	case trust.ForeignTenant:
		return "the managed identity must live in the application's home tenant; create the identity there, or register the application in the identity's tenant"
	case trust.DuplicateSubject:
		return "two credentials of the application trust the same subject through two issuers of one tenant; delete the one with the v1.0 issuer"
	case trust.NotAppOnly:
		return "the token acts for a user; only a managed identity's own token may be used"
	case trust.FromFederation:
		return "the token was itself obtained through a federated credential; use the identity on a host it is assigned to"
	case trust.NotManagedIdentity:
		return "the subject is an application; only a user-assigned managed identity may be a federated credential"
	case trust.SystemIdentity:
		return "the subject is a system-assigned managed identity; assign a user-assigned one to the host and trust that"
	case trust.IdentityGone:
		return "the managed identity no longer exists; a new one of the same name has a new principal id, which the credential must name"
	case trust.IdentityDisabled:
		return "the managed identity is disabled"
	case trust.ClientIsIdentity:
		return "a managed identity cannot trust another managed identity; put the credential on an application"
	}
	return ""
}

// compare lays the client's credentials beside the offer, with what the
// directory knows about values that people confuse.
func (s *Service) compare(ctx context.Context, o trust.Offer, f trust.Facts) ([]trust.Comparison, error) {
	known := trust.Known{StoredSubjectClientOf: map[string]*directory.ManagedIdentity{}}
	for _, c := range f.Client.Credentials {
		clientID, err := directory.ParseClientID(c.Subject)
		if err != nil {
			continue
		}
		principal, err := s.dir.Principal(ctx, f.Client.Tenant, clientID)
		if errors.Is(err, directory.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fault("finding what a stored subject names", err)
		}
		identity, err := s.dir.Identity(ctx, f.Client.Tenant, principal.ID)
		if errors.Is(err, directory.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fault("finding what a stored subject names", err)
		}
		known.StoredSubjectClientOf[c.Name] = identity
	}
	return trust.Compare(o, f, known), nil
}

// Explanation says what the exchange would answer and why.
type Explanation struct {
	Refusal     *Refusal           // nil when the token would be issued
	Verified    bool               // the signature and the times are good
	Claims      *assertion.Claims  // what the assertion says; unverified unless Verified
	Comparisons []trust.Comparison // every credential of the client, field by field
	Client      *directory.Client  // nil when the client is unknown
	Tenant      *directory.Tenant  // nil when the tenant is unknown
	Credential  string             // the credential that matched
}

// Explain works out what Exchange would answer, without issuing anything and
// without a record. The error is a fault; refusals are part of the answer.
func (s *Service) Explain(ctx context.Context, req Request) (*Explanation, error) {
	var rec audit.SignIn
	e := &Explanation{}
	_, err := s.decide(ctx, req, &rec)
	if err != nil {
		refusal, ok := AsRefusal(err)
		if !ok {
			return nil, err
		}
		e.Refusal = refusal
	}
	e.Credential = rec.Credential
	if !rec.Tenant.IsZero() {
		tenant, err := s.dir.Tenant(ctx, rec.Tenant.String())
		if err != nil {
			return nil, fault("finding the tenant", err)
		}
		e.Tenant = tenant
	}
	proof, err := assertion.Parse(req.Assertion)
	if err != nil {
		// The refusal already says what is malformed.
		return e, nil
	}
	o := offerUnverified(proof)
	if claims, err := proof.ClaimsUnverified(); err == nil {
		e.Claims = &claims
	}
	_, err = s.verifier.Verify(proof, s.ownExpectation(), s.now())
	e.Verified = err == nil
	clientID, err := directory.ParseClientID(req.ClientID)
	if err != nil {
		return e, nil
	}
	client, err := s.dir.Client(ctx, clientID)
	if errors.Is(err, directory.ErrNotFound) {
		return e, nil
	}
	if err != nil {
		return nil, fmt.Errorf("finding the client: %w", err)
	}
	e.Client = client
	e.Comparisons, err = s.compare(ctx, o, trust.Facts{Cloud: s.cloud, Client: client})
	return e, err
}
