// Package trust holds the decision that the product exists for: do these
// verified claims match one of these federated identity credentials, and if
// not, why not. Everything here is a pure function of its arguments: no clock,
// no network, no storage. Every comparison is whole and exact.
package trust

import (
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// Offer is what a verified assertion says about itself.
type Offer struct {
	Issuer    string
	Subject   string
	Audience  string
	ClientID  string // azp or appid: only shown to people
	AppOnly   bool   // an application's own token, not one that acts for a user
	Federated bool   // obtained through a federated identity credential
}

// Facts is what the directory says about the parties, read in the same
// request. Identity is what the offer's subject names in the tenant of its
// issuer, nil when that is not a managed identity.
type Facts struct {
	Cloud     *directory.Cloud
	Client    *directory.Client
	Identity  *directory.ManagedIdentity
	Principal bool // the subject is some service principal of the issuer's tenant
}

// Verdict is the outcome of Decide. Credential is the one that matched, or on
// refusal the one that came closest (nil when none was near).
type Verdict struct {
	Reason     Reason
	Credential *directory.FederatedCredential
}

// OK reports whether the offer speaks for the client.
func (v Verdict) OK() bool { return v.Reason == "" }

// Select decides, before anything is verified, whether the client has a
// credential for that issuer at all. It uses the issuer for nothing else, so
// that an unverified one may be passed. Own issuers pass whenever the client
// has any credential: their keys are at hand, and Decide can then say more.
func Select(issuer string, f Facts) Verdict {
	if len(f.Client.Credentials) == 0 {
		return Verdict{Reason: NoCredentials}
	}
	switch form, _ := f.Cloud.OwnIssuer(issuer); form {
	case directory.V1Form, directory.V2Form:
		return Verdict{}
	case directory.AliasForm:
		// Our name in a spelling that no token of ours carries: never
		// somebody else's issuer, whatever a credential says (threats F9).
		return Verdict{Reason: IssuerMismatch}
	}
	for i := range f.Client.Credentials {
		if c := &f.Client.Credentials[i]; c.Issuer == issuer {
			if foreignCloud(issuer, f.Cloud) {
				return Verdict{Reason: ForeignCloud, Credential: c}
			}
			return Verdict{Credential: c}
		}
	}
	return Verdict{Reason: IssuerMismatch}
}

// Decide says whether a verified offer speaks for the client. The order of
// the refusals is the order in which the real service reports them: issuer,
// audience, subject, then what only holds for tokens of our own.
func Decide(o Offer, f Facts) Verdict {
	creds := f.Client.Credentials
	if len(creds) == 0 {
		return Verdict{Reason: NoCredentials}
	}
	form, issuerTenant := f.Cloud.OwnIssuer(o.Issuer)
	own := form == directory.V1Form || form == directory.V2Form
	if form == directory.AliasForm {
		return Verdict{Reason: IssuerMismatch}
	}

	if own && !f.exchangeAudience(o.Audience) {
		return Verdict{Reason: TokenAudience, Credential: closest(o, creds)}
	}

	byIssuer := filter(creds, func(c *directory.FederatedCredential) bool { return c.Issuer == o.Issuer })
	if len(byIssuer) == 0 {
		if c := find(creds, func(c *directory.FederatedCredential) bool {
			form, t := f.Cloud.OwnIssuer(c.Issuer)
			return own && form == directory.V1Form && t == issuerTenant && c.Subject == o.Subject
		}); c != nil {
			return Verdict{Reason: V1Issuer, Credential: c}
		}
		return Verdict{Reason: IssuerMismatch, Credential: closest(o, creds)}
	}

	byAudience := filter(byIssuer, func(c *directory.FederatedCredential) bool {
		if own {
			return c.Audience == f.Cloud.ExchangeURI
		}
		return c.Audience == o.Audience
	})
	if len(byAudience) == 0 {
		if own {
			return Verdict{Reason: CredentialAudience, Credential: closest(o, byIssuer)}
		}
		return Verdict{Reason: AudienceMismatch, Credential: closest(o, byIssuer)}
	}

	match := find(byAudience, func(c *directory.FederatedCredential) bool { return c.Subject == o.Subject })
	if match == nil {
		if c := find(byAudience, func(c *directory.FederatedCredential) bool { return strings.EqualFold(c.Subject, o.Subject) }); c != nil {
			return Verdict{Reason: SubjectCase, Credential: c}
		}
		return Verdict{Reason: SubjectMismatch, Credential: closest(o, byAudience)}
	}
	refuse := func(r Reason) Verdict { return Verdict{Reason: r, Credential: match} }

	if !own {
		if foreignCloud(o.Issuer, f.Cloud) {
			return refuse(ForeignCloud)
		}
		return Verdict{Credential: match}
	}

	// The rules for tokens of our own. What the subject is comes from the
	// directory, never from the claims.
	twin := find(creds, func(c *directory.FederatedCredential) bool {
		form, t := f.Cloud.OwnIssuer(c.Issuer)
		return c != match && c.Subject == o.Subject && form != directory.NotOurs && t == issuerTenant
	})
	switch {
	case f.Client.Kind == directory.IdentityPrincipal:
		return refuse(ClientIsIdentity)
	case issuerTenant != f.Client.Tenant:
		return refuse(ForeignTenant)
	case twin != nil:
		return refuse(DuplicateSubject)
	case !o.AppOnly:
		return refuse(NotAppOnly)
	case o.Federated:
		return refuse(FromFederation)
	case f.Identity == nil && f.Principal:
		return refuse(NotManagedIdentity)
	case f.Identity == nil:
		return refuse(IdentityGone)
	case f.Identity.Tenant != f.Client.Tenant:
		return refuse(ForeignTenant)
	case f.Identity.Kind != directory.UserAssigned:
		return refuse(SystemIdentity)
	case f.Identity.Disabled:
		return refuse(IdentityDisabled)
	}
	return Verdict{Credential: match}
}

// exchangeAudience reports whether a token of our own was made for the
// exchange: its URI and its well-known id count as equal.
func (f Facts) exchangeAudience(aud string) bool {
	return aud == f.Cloud.ExchangeURI || aud == f.Cloud.ExchangeID.String()
}

func foreignCloud(issuer string, own *directory.Cloud) bool {
	if form, _ := own.OwnIssuer(issuer); form != directory.NotOurs {
		return false
	}
	for _, other := range directory.Clouds() {
		if other.Name == own.Name {
			continue
		}
		if form, _ := other.OwnIssuer(issuer); form != directory.NotOurs {
			return true
		}
	}
	return false
}

func filter(creds []directory.FederatedCredential, keep func(*directory.FederatedCredential) bool) []directory.FederatedCredential {
	// The usual client has one credential and it matches: no copy then.
	all := true
	for i := range creds {
		if !keep(&creds[i]) {
			all = false
			break
		}
	}
	if all {
		return creds
	}
	var kept []directory.FederatedCredential
	for i := range creds {
		if keep(&creds[i]) {
			kept = append(kept, creds[i])
		}
	}
	return kept
}

func find(creds []directory.FederatedCredential, is func(*directory.FederatedCredential) bool) *directory.FederatedCredential {
	for i := range creds {
		if is(&creds[i]) {
			return &creds[i]
		}
	}
	return nil
}

// closest picks the credential that agrees with the offer in most fields, for
// telling people which one was probably meant.
func closest(o Offer, creds []directory.FederatedCredential) *directory.FederatedCredential {
	var best *directory.FederatedCredential
	bestScore := -1
	for i := range creds {
		c := &creds[i]
		score := 0
		for _, pair := range [][2]string{{c.Subject, o.Subject}, {c.Issuer, o.Issuer}, {c.Audience, o.Audience}} {
			switch {
			case pair[0] == pair[1]:
				score += 4
			case fold(pair[0]) == fold(pair[1]):
				score += 3
			}
		}
		if score > bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

// fold removes what people get wrong when copying a value.
func fold(s string) string {
	return strings.TrimRight(strings.ToLower(strings.TrimSpace(s)), "/")
}

// ChooseIdentity decides which managed identity a request through a host
// means. Assigned are the identities of the host; a selector that is not zero
// names one of them. Without a selector it is the system-assigned identity if
// there is one, else the only user-assigned one; for dialects that know no
// such default (soleUser false) only the former. A disabled identity is returned
// beside its reason, so that the refusal can name it.
func ChooseIdentity(assigned []*directory.ManagedIdentity, want Selector, soleUser bool) (*directory.ManagedIdentity, Reason) {
	if !want.IsZero() {
		for _, identity := range assigned {
			if want.names(identity) {
				if identity.Disabled {
					return identity, IdentityDisabled
				}
				return identity, ""
			}
		}
		return nil, IdentityNotAssigned
	}
	var only *directory.ManagedIdentity
	users := 0
	for _, identity := range assigned {
		if identity.Kind == directory.SystemAssigned {
			only, users = identity, 1
			break
		}
		if soleUser {
			only = identity
			users++
		}
	}
	switch {
	case users == 0:
		return nil, IdentityNone
	case users > 1:
		return nil, IdentityAmbiguous
	case only.Disabled:
		return only, IdentityDisabled
	}
	return only, ""
}

// Selector names a managed identity in one of the three ways. At most one
// field is set; resource ids compare without case, as resource ids do.
type Selector struct {
	ClientID   directory.ClientID
	ObjectID   directory.ObjectID
	ResourceID string
}

// IsZero reports whether nothing is named.
func (s Selector) IsZero() bool { return s == Selector{} }

func (s Selector) names(m *directory.ManagedIdentity) bool {
	switch {
	case !s.ClientID.IsZero():
		return m.ClientID == s.ClientID
	case !s.ObjectID.IsZero():
		return m.PrincipalID == s.ObjectID
	}
	// A system-assigned identity's resource id is its host's: it is not a way
	// to name the identity.
	return m.Kind == directory.UserAssigned && equalFoldASCII(m.ResourceID, s.ResourceID)
}

// equalFoldASCII compares resource ids, which fold the case of ASCII letters
// and of nothing else.
func equalFoldASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if 'A' <= y && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}
