package directory

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/problem"
)

// Limits of a federated identity credential, in characters. Source: Microsoft
// Graph v1.0, resource type federatedIdentityCredential, and the
// "considerations and restrictions" page of workload identity federation.
const (
	MaxTrustValue  = 600
	MaxDescription = 600
	minCredName    = 3
	maxCredName    = 120
)

// Validate checks the shape of a credential, never whether its values will
// match anything: wrong issuers, subjects and audiences are stored and fail at
// the exchange. The problem's target is the field's wire name.
func (c *FederatedCredential) Validate() error {
	if err := validateCredentialName(c.Name); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{
		{"issuer", c.Issuer}, {"subject", c.Subject}, {"audiences", c.Audience},
	} {
		if f.value == "" {
			return problem.Newf(problem.Invalid, f.name, "is required")
		}
		if n := utf8.RuneCountInString(f.value); n > MaxTrustValue {
			return problem.Newf(problem.Invalid, f.name, "has %d characters; at most %d are allowed", n, MaxTrustValue)
		}
		if !utf8.ValidString(f.value) {
			return problem.Newf(problem.Invalid, f.name, "is not valid UTF-8")
		}
	}
	if n := utf8.RuneCountInString(c.Description); n > MaxDescription {
		return problem.Newf(problem.Invalid, "description", "has %d characters; at most %d are allowed", n, MaxDescription)
	}
	return nil
}

func validateCredentialName(name string) error {
	if name == "" {
		return problem.Newf(problem.Invalid, "name", "is required")
	}
	if len(name) < minCredName || len(name) > maxCredName {
		return problem.Newf(problem.Invalid, "name", "has %d characters; between %d and %d are allowed", len(name), minCredName, maxCredName)
	}
	if !alphanumeric(name[0]) {
		return problem.Newf(problem.Invalid, "name", "must begin with a letter or a digit, not %q", name[:1])
	}
	for i := range len(name) {
		if c := name[i]; !alphanumeric(c) && c != '-' && c != '_' {
			return problem.Newf(problem.Invalid, "name", "may hold letters, digits, '-' and '_' only; character %d is not one of them", i+1)
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// ValidateResourceName checks the names of managed identities (3 to 128
// characters), hosts (1 to 128) and resource groups (1 to 90): letters, digits,
// '-' and '_', for groups and hosts also '.', beginning with a letter or digit.
// Names stand in resource ids, so nothing that needs escaping is allowed.
func ValidateResourceName(target, name string, minimum, maximum int, extra string) error {
	if name == "" {
		return problem.Newf(problem.Invalid, target, "is required")
	}
	if len(name) < minimum || len(name) > maximum {
		return problem.Newf(problem.Invalid, target, "%q has %d characters; between %d and %d are allowed", clip(name), len(name), minimum, maximum)
	}
	for i := range len(name) {
		c := name[i]
		if alphanumeric(c) || i > 0 && (c == '-' || c == '_' || strings.IndexByte(extra, c) >= 0) {
			continue
		}
		return problem.Newf(problem.Invalid, target, "%q may hold letters, digits, '-' and '_' only and begins with a letter or a digit", clip(name))
	}
	return nil
}

// ValidateDisplayName checks the names people see: 1 to 120 characters of
// printable UTF-8.
func ValidateDisplayName(target, name string) error {
	switch n := utf8.RuneCountInString(name); {
	case name == "":
		return problem.Newf(problem.Invalid, target, "is required")
	case n > 120:
		return problem.Newf(problem.Invalid, target, "has %d characters; at most 120 are allowed", n)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return problem.Newf(problem.Invalid, target, "holds control characters")
	}
	return nil
}

// ValidateDomain checks a DNS name: lower-case labels of letters, digits and
// '-', with at least one dot, at most 253 characters.
func ValidateDomain(target, domain string) error {
	bad := problem.Newf(problem.Invalid, target, "%q is not a domain name such as contoso.example (lower case)", clip(domain))
	if len(domain) > 253 || !strings.Contains(domain, ".") {
		return bad
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return bad
		}
		for i := range len(label) {
			if c := label[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
				return bad
			}
		}
	}
	return nil
}

// ValidateIdentifierURI checks an application's identifier URI: absolute, no
// white space, no fragment, at most 255 characters.
func ValidateIdentifierURI(target, uri string) error {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || scheme == "" || rest == "" || len(uri) > 255 || strings.ContainsAny(uri, " \t\r\n#\"<>\\") || !utf8.ValidString(uri) {
		return problem.Newf(problem.Invalid, target, "%q is not an identifier URI such as api://orders or https://contoso.example/orders", clip(uri))
	}
	return nil
}

// Validate checks an app role on its own.
func (r *AppRole) Validate() error {
	if r.Value == "" {
		return problem.Newf(problem.Invalid, "value", "is required")
	}
	if len(r.Value) > 120 || strings.HasPrefix(r.Value, ".") {
		return problem.Newf(problem.Invalid, "value", "%q must have at most 120 characters and not begin with '.'", clip(r.Value))
	}
	for i := range len(r.Value) {
		if c := r.Value[i]; c <= ' ' || c > '~' {
			return problem.Newf(problem.Invalid, "value", "%q may hold printable ASCII characters without blanks only", clip(r.Value))
		}
	}
	return ValidateDisplayName("displayName", r.DisplayName)
}

// IdentityResourceID is the resource id of a user-assigned identity, spelled
// as the real service spells it in tokens.
func IdentityResourceID(subscription ObjectID, group, name string) string {
	return fmt.Sprintf("/subscriptions/%s/resourcegroups/%s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/%s", subscription, group, name)
}

// HostResourceID is the resource id of a host.
func HostResourceID(subscription ObjectID, group string, kind HostKind, name string) string {
	return fmt.Sprintf("/subscriptions/%s/resourcegroups/%s/providers/%s/%s", subscription, group, kind.ResourceType(), name)
}
