package trust

import (
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// Comparison is one field of one credential beside what the assertion says.
type Comparison struct {
	Credential string `json:"credential"`
	Field      string `json:"field"` // wire name: issuer, subject, audiences
	Offered    string `json:"offered"`
	Stored     string `json:"stored"`
	Same       bool   `json:"same"`
	Difference string `json:"difference,omitempty"` // what kind of difference it is, in words
	Mend       string `json:"mend,omitempty"`       // the edit that would make it match
}

// Known is what the directory knows about values that people confuse with
// one another. Zero values mean "nothing known".
type Known struct {
	// StoredSubjectClientOf is the identity whose client id stands where its
	// principal id belongs, by credential name.
	StoredSubjectClientOf map[string]*directory.ManagedIdentity
}

// Compare lays every credential of the client beside the offer, field by
// field, in stored order.
func Compare(o Offer, f Facts, k Known) []Comparison {
	form, _ := f.Cloud.OwnIssuer(o.Issuer)
	own := form == directory.V1Form || form == directory.V2Form
	var all []Comparison
	for i := range f.Client.Credentials {
		c := &f.Client.Credentials[i]
		issuer := compare(c, "issuer", o.Issuer, c.Issuer)
		if !issuer.Same {
			issuer.Difference, issuer.Mend = issuerDifference(o.Issuer, c.Issuer, f)
		}
		subject := compare(c, "subject", o.Subject, c.Subject)
		if !subject.Same {
			subject.Difference, subject.Mend = subjectDifference(o, c, k)
		}
		audience := compare(c, "audiences", o.Audience, c.Audience)
		if own && f.exchangeAudience(o.Audience) {
			audience.Same = c.Audience == f.Cloud.ExchangeURI
		}
		if !audience.Same {
			audience.Difference, audience.Mend = audienceDifference(o.Audience, c.Audience, own, f)
		}
		all = append(all, issuer, subject, audience)
	}
	return all
}

func compare(c *directory.FederatedCredential, field, offered, stored string) Comparison {
	return Comparison{Credential: c.Name, Field: field, Offered: offered, Stored: stored, Same: offered == stored}
}

// difference tells the usual slips apart: white space, case, a slash at the
// end. It returns "" for values that simply differ.
func difference(offered, stored string) string {
	switch {
	case strings.TrimSpace(stored) != stored && strings.TrimSpace(stored) == offered:
		return "the stored value begins or ends with white space"
	case strings.TrimRight(stored, "/") == strings.TrimRight(offered, "/"):
		if strings.HasSuffix(stored, "/") {
			return "the stored value ends with a slash that the assertion's does not have"
		}
		return "the assertion's value ends with a slash that the stored one does not have"
	case strings.EqualFold(offered, stored):
		return "only upper and lower case differ; the comparison is case-sensitive"
	case fold(offered) == fold(stored):
		return "only case, slashes or white space differ; the comparison is exact"
	}
	return ""
}

func issuerDifference(offered, stored string, f Facts) (what, mend string) {
	edit := "set issuer to " + offered
	if d := difference(offered, stored); d != "" {
		return d, edit
	}
	form, tenant := f.Cloud.OwnIssuer(stored)
	_, offeredTenant := f.Cloud.OwnIssuer(offered)
	switch {
	case form == directory.V1Form && tenant == offeredTenant:
		return "the stored value is the issuer of v1.0 tokens; managed identities prove themselves with v2.0 tokens", edit
	case form == directory.AliasForm && tenant == offeredTenant:
		return "the stored value names this tenant by another host or spelling", edit
	case (form == directory.V1Form || form == directory.V2Form) && !offeredTenant.IsZero() && tenant != offeredTenant:
		return fmt.Sprintf("the stored value names tenant %s; the assertion comes from tenant %s", tenant, offeredTenant), edit
	case foreignCloud(stored, f.Cloud):
		return "the stored value belongs to another cloud; nothing is shared between clouds", edit
	}
	return "the values differ", edit
}

func subjectDifference(o Offer, c *directory.FederatedCredential, k Known) (what, mend string) {
	edit := "set subject to " + o.Subject
	if d := difference(o.Subject, c.Subject); d != "" {
		return d, edit
	}
	if m := k.StoredSubjectClientOf[c.Name]; m != nil {
		return fmt.Sprintf("the stored value is the client id of managed identity %q; the subject is its object (principal) id", m.Name),
			"set subject to " + m.PrincipalID.String()
	}
	if o.ClientID != "" && strings.EqualFold(c.Subject, o.ClientID) {
		return "the stored value is the client id of the workload's identity; the subject is its object (principal) id", edit
	}
	return "the credential trusts another subject", edit + " if this workload is the one to trust"
}

func audienceDifference(offered, stored string, own bool, f Facts) (what, mend string) {
	if !own {
		if d := difference(offered, stored); d != "" {
			return d, "set audiences to [" + offered + "]"
		}
		return "the values differ", "set audiences to [" + offered + "], or ask for a token with audience " + stored
	}
	if !f.exchangeAudience(offered) {
		return "the token was made for another resource than the token exchange",
			"ask for the managed identity token with resource " + f.Cloud.ExchangeURI
	}
	edit := "set audiences to [" + f.Cloud.ExchangeURI + "]"
	if stored == f.Cloud.ExchangeID.String() {
		return "the stored value is the id of the token exchange; its URI belongs there", edit
	}
	for _, other := range directory.Clouds() {
		if other.Name != f.Cloud.Name && stored == other.ExchangeURI {
			return "the stored value is the token exchange of cloud " + other.Name + "; this is cloud " + f.Cloud.Name, edit
		}
	}
	if d := difference(f.Cloud.ExchangeURI, stored); d != "" {
		return d, edit
	}
	return "the stored value is not the token exchange of this cloud", edit
}

// Mend is the shortest way to a match: the edits of the closest credential,
// joined. Empty when nothing needs mending or no credential is near.
func Mend(v Verdict, all []Comparison) string {
	if v.OK() || v.Credential == nil {
		return ""
	}
	var edits []string
	for _, c := range all {
		if c.Credential == v.Credential.Name && !c.Same && c.Mend != "" {
			edits = append(edits, c.Difference+": "+strings.Replace(c.Mend, "set ", "in credential \""+c.Credential+"\" set ", 1))
		}
	}
	return strings.Join(edits, "; ")
}
