package trust

import (
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// LintFacts is what the directory knows about the values of a credential when
// it is written. Identity, Application and Principal are what the subject names
// in Tenant, in whichever way people write it; nil when it names none.
type LintFacts struct {
	Cloud  *directory.Cloud
	Tenant directory.TenantID // home tenant of the application or identity that holds the credential

	OnIdentity bool                            // the credential belongs to a managed identity, not to an application
	Siblings   []directory.FederatedCredential // of the same parent; the credential itself may be among them

	Identity    *directory.ManagedIdentity  // by principal id, client id, name or resource id, in any case
	Application *directory.Application      // by object id or client id, in any case
	Principal   *directory.ServicePrincipal // an application's, by object id, in any case
}

// twin is another credential for the same subject of the same tenant of this
// platform, under another spelling of the issuer.
func (f LintFacts) twin(c directory.FederatedCredential) *directory.FederatedCredential {
	form, tenant := f.Cloud.OwnIssuer(c.Issuer)
	if form == directory.NotOurs {
		return nil
	}
	return find(f.Siblings, func(s *directory.FederatedCredential) bool {
		form, t := f.Cloud.OwnIssuer(s.Issuer)
		return s.Name != c.Name && s.Subject == c.Subject && form != directory.NotOurs && t == tenant
	})
}

// LintFinding says why a field of a credential will not match any token, or
// probably not the token that was meant.
type LintFinding struct {
	Field   string // wire name: issuer, subject, audiences
	Message string // what is wrong
	Mend    string // the edit that mends it; "" when only the writer can know
}

// LintCredential says what is probably wrong with the values of a credential.
// It refuses nothing: wrong values are stored and fail at the exchange. The
// findings come in the order issuer, subject, audiences.
func LintCredential(c directory.FederatedCredential, f LintFacts) []LintFinding {
	l := &linter{facts: f}
	form, tenant := f.Cloud.OwnIssuer(c.Issuer)
	l.issuer(c.Issuer, form, tenant)
	if form != directory.NotOurs && f.OnIdentity {
		l.find("issuer", "put the credential on the application that the managed identity shall speak for",
			"is this platform; a managed identity's token is not accepted as a credential of another managed identity")
	}
	l.subject(c.Subject, form != directory.NotOurs && (tenant.IsZero() || tenant == f.Tenant))
	if twin := f.twin(c); twin != nil {
		l.find("subject", "delete one of the two", "is also the subject of credential %s, whose issuer is another spelling of the same tenant; the exchange refuses such pairs", twin.Name)
	}
	l.audience(c.Audience, form != directory.NotOurs)
	return l.findings
}

type linter struct {
	facts    LintFacts
	findings []LintFinding
}

func (l *linter) find(field, mend, format string, args ...any) {
	l.findings = append(l.findings, LintFinding{Field: field, Message: fmt.Sprintf(format, args...), Mend: mend})
}

// exact reports what spoils any comparison, and returns the value without
// white space around it.
func (l *linter) exact(field, value string) string {
	trimmed := strings.TrimSpace(value)
	if trimmed != value {
		l.find(field, fmt.Sprintf("set %s to %q", field, trimmed), "begins or ends with white space, which blocks the exchange")
	}
	if strings.Contains(value, "*") {
		l.find(field, "write the whole value out, and one credential for each value", "holds a wildcard, which is compared as a plain character and matches nothing else")
	}
	return trimmed
}

func (l *linter) issuer(issuer string, form directory.IssuerForm, tenant directory.TenantID) {
	const field = "issuer"
	issuer = l.exact(field, issuer)
	// The form was found with the white space ignored except for its verdict.
	if form == directory.AliasForm {
		form, tenant = l.facts.Cloud.OwnIssuer(issuer)
	}
	right := l.facts.Cloud.V2IssuerOf(l.facts.Tenant)
	mend := "set issuer to " + right
	switch form {
	case directory.V1Form:
		l.find(field, mend, "is the v1.0 issuer; the tokens that managed identities get for the exchange carry the v2.0 issuer")
	case directory.AliasForm:
		switch {
		case strings.TrimRight(issuer, "/") == right:
			l.find(field, mend, "ends with a slash that no token's issuer has")
		case strings.EqualFold(issuer, right):
			l.find(field, mend, "differs from the issuer in tokens in upper and lower case; the comparison is case-sensitive")
		default:
			l.find(field, mend, "names this platform in a spelling that stands in no token")
		}
	case directory.V2Form:
		if tenant != l.facts.Tenant {
			l.find(field, "use an identity of the application's home tenant, whose issuer is "+right,
				"names another tenant; a managed identity must live in the home tenant of the application that trusts it")
		}
	case directory.NotOurs:
		for _, other := range directory.Clouds() {
			if other.Name == l.facts.Cloud.Name {
				continue
			}
			if form, _ := other.OwnIssuer(issuer); form != directory.NotOurs {
				l.find(field, mend, "is an issuer of another cloud (%s); tokens of another cloud are always refused", other.Name)
				return
			}
		}
		if !strings.HasPrefix(issuer, "https://") {
			l.find(field, "set issuer to the https URL under which the issuer publishes its keys", "does not begin with https://, so its keys cannot be fetched safely and every token is refused")
		}
	}
}

// subject judges subjects of this platform's own tokens only: what other
// issuers put there is theirs to know.
func (l *linter) subject(subject string, own bool) {
	const field = "subject"
	subject = l.exact(field, subject)
	if !own {
		return
	}
	if m := l.facts.Identity; m != nil {
		l.identity(subject, m)
		return
	}
	use := "set subject to the principal id of a user-assigned managed identity of this tenant"
	switch {
	case l.facts.Application != nil:
		what := "object id"
		if strings.EqualFold(subject, l.facts.Application.ClientID.String()) {
			what = "client id"
		}
		l.find(field, use, "is the %s of application %s; an application's token is never accepted as a credential, only a managed identity's", what, l.facts.Application.Name)
	case l.facts.Principal != nil:
		l.find(field, use, "is the service principal of application %s; an application's token is never accepted as a credential, only a managed identity's", l.facts.Principal.Name)
	default:
		l.find(field, use, "is not the principal id of any managed identity in this tenant")
	}
}

func (l *linter) identity(subject string, m *directory.ManagedIdentity) {
	const field = "subject"
	principal := m.PrincipalID.String()
	mend := fmt.Sprintf("set subject to %s, the principal id of %s", principal, m.Name)
	switch {
	case m.Kind == directory.SystemAssigned:
		l.find(field, "assign a user-assigned identity to the host and name its principal id",
			"belongs to the system-assigned identity of host %s; only user-assigned identities may be a credential", m.Name)
	case subject == principal:
	case strings.EqualFold(subject, principal):
		l.find(field, mend, "differs from the principal id of identity %s in upper and lower case only; the comparison is case-sensitive", m.Name)
	case strings.EqualFold(subject, m.ClientID.String()):
		l.find(field, mend, "is the client id of identity %s; its tokens carry the principal id as subject", m.Name)
	default:
		l.find(field, mend, "names identity %s; its tokens carry the principal id as subject", m.Name)
	}
}

func (l *linter) audience(audience string, own bool) {
	const field = "audiences"
	audience = l.exact(field, audience)
	right := l.facts.Cloud.ExchangeURI
	mend := fmt.Sprintf("set audiences to [%s]", right)
	if audience == right {
		return
	}
	for _, other := range directory.Clouds() {
		if other.Name != l.facts.Cloud.Name && strings.EqualFold(audience, other.ExchangeURI) {
			l.find(field, mend, "is the exchange audience of another cloud (%s)", other.Name)
			return
		}
	}
	switch {
	case strings.EqualFold(audience, right):
		l.find(field, mend, "differs from %s in upper and lower case only; the comparison is case-sensitive", right)
	case strings.EqualFold(audience, l.facts.Cloud.ExchangeID.String()):
		l.find(field, mend, "is the application id of the token exchange; the credential must name its URI")
	case strings.TrimRight(audience, "/") == right:
		l.find(field, mend, "ends with a slash that %s does not have", right)
	case own:
		l.find(field, mend, "is not %s, the one audience that the exchange accepts for managed identities in this cloud", right)
	default:
		l.find(field, mend, "is not %s, the usual one; it works only if the issuer's tokens carry exactly this audience", right)
	}
}
