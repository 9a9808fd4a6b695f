package odata

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func query(options ...string) *Query {
	for i, o := range options {
		name, value, _ := strings.Cut(o, "=")
		options[i] = name + "=" + url.QueryEscape(value)
	}
	return must(Parse(strings.Join(options, "&")))
}

// What works without headers.
func TestCheckAllows(t *testing.T) {
	for _, options := range [][]string{
		{},
		{"$select=id,displayName,api/requestedAccessTokenVersion,owners"},
		{"$expand=owners($select=id)"},
		{"$expand=federatedIdentityCredentials"},
		{"$orderby=createdDateTime desc"},
		{"$count=true"},
		{"$filter=appId eq '" + guid + "'"},
		{"$filter=appId eq " + guid},
		{"$filter=appId in ('" + guid + "'," + guid + ")"},
		{"$filter=startswith(displayName,'x') and publisherDomain eq 'x' or displayName eq null"},
		{"$filter=identifierUris/any(s:s eq 'x' or startswith(s,'y'))"},
		{"$filter=identifierUris/any() and appRoles/any()"},
		{"$filter=appRoles/any(r:r/value eq 'x' and r/allowedMemberTypes/any(a:a eq 'User'))"},
		{"$filter=appRoles/all(r:r/value eq 'x')"},
		{"$filter=api/requestedAccessTokenVersion eq 2"},
		{"$filter=isDisabled eq true and version ge 2 and createdDateTime le 2026-01-01"},
		{"$filter=platforms has 'web'"},
		{"$filter=secretHint eq 'x'"},
		{"$filter=displayName in ('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15')"},
	} {
		if err := query(options...).Check(&applications, false); err != nil {
			t.Errorf("%v: %v", options, err)
		}
	}
}

// What needs the header, $count=true, or both, and says so.
func TestCheckAdvanced(t *testing.T) {
	const header, count = "'ConsistencyLevel: eventual'", "$count=true"
	for _, filter := range []string{
		"displayName ne 'x'",
		"not (displayName eq 'x')",
		"not startswith(displayName,'x')",
		"not identifierUris/any(s:s eq 'x')",
		"endswith(publisherDomain,'x')",
		"endswith(subject,'x')",
		"startswith(id,'x')",
		"description eq 'x'",
		"description in ('x')",
		"owners/$count eq 0",
		"identifierUris/$count ne 0",
		"appRoles/$count eq 1",
		"appRoles/any(r:r/value ne 'x')",
		"displayName eq 'x' or version ne 1",
	} {
		t.Run(filter, func(t *testing.T) {
			wantUnsupported(t, query("$filter="+filter).Check(&applications, false), "$filter", header, count)
			wantUnsupported(t, query("$filter="+filter).Check(&applications, true), "$filter", count)
			wantUnsupported(t, query("$filter="+filter, "$count=true").Check(&applications, false), "$filter", header)
			if err := query("$filter="+filter, "$count=true").Check(&applications, true); err != nil {
				t.Error(err)
			}
		})
	}

	together := []string{"$filter=displayName eq 'x'", "$orderby=createdDateTime"}
	wantUnsupported(t, query(together...).Check(&applications, false), "$orderby", "Sorting not supported for current query.", header, count)
	wantUnsupported(t, query("$orderby=displayName").Check(&applications, true), "$orderby", count)
	if err := query("$filter=displayName eq 'x'", "$orderby=displayName", "$count=true").Check(&applications, true); err != nil {
		t.Error(err)
	}

	search := query(`$search="displayName:x" AND ("publisherDomain:y" OR "identifierUris:z")`)
	wantUnsupported(t, search.Check(&applications, false), "$search",
		"Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'")
	if err := search.Check(&applications, true); err != nil {
		t.Errorf("$search needs the header only: %v", err)
	}

	long := "$filter=displayName in ('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16')"
	wantUnsupported(t, query(long).Check(&applications, false), "$filter",
		"Too many child clauses specified in search filter expression containing 'OR' operators: 16. Max allowed: 15.", header)
	if err := query(long, "$count=true").Check(&applications, true); err != nil {
		t.Error(err)
	}
}

// What no header helps.
func TestCheckUnsupported(t *testing.T) {
	for _, tc := range []struct{ option, text string }{
		{"$filter=notes eq 'x'", "Filtering by 'notes' is not supported"},
		{"$filter=appRoles/any(r:r/hint eq 'x')", "Filtering by 'r/hint'"},
		{"$filter=redirectUris/any()", "Filtering by 'redirectUris'"},
		{"$filter=redirectUris/any(u:u eq 'x')", "Filtering by 'u'"},
		{"$filter=contains(displayName,'x')", "clause specified for property 'displayName' of resource 'Application'. Operator 'contains' is not offered on it: use eq, ne, ge, le, in, startswith"},
		{"$filter=displayName gt 'x'", "Operator 'gt'"},
		{"$filter=identifierUris/all(s:s eq 'x')", "Operator 'all' is not offered on 'identifierUris'"},
		{"$filter=tags/$count eq 0", "'tags' cannot be counted"},
		{"$filter=federatedIdentityCredentials/$count eq 0", "cannot be counted"},
		{"$filter=owners/any(o:o/id eq 'x')", "'owners' is a relationship"},
		{"$expand=owners,federatedIdentityCredentials", "one navigation property"},
		{"$expand=homeRealmDiscoveryPolicies", "cannot be expanded"},
		{"$expand=federatedIdentityCredentials($select=id)", "takes no $select"},
		{"$orderby=appId", "Sorting by 'appId' is not supported"},
		{"$orderby=tags", "Sorting by 'tags'"},
		{`$search="appId:x"`, "'appId' cannot be searched"},
		{"$select=secretHint", "'secretHint' is never returned"},
	} {
		t.Run(tc.option, func(t *testing.T) {
			option, _, _ := strings.Cut(tc.option, "=")
			wantUnsupported(t, query(tc.option, "$count=true").Check(&applications, true), option, tc.text)
		})
	}
}

// What is a bad request, not an unsupported query.
func TestCheckBadRequest(t *testing.T) {
	for _, tc := range []struct{ option, text string }{
		{"$select=nope", "Could not find a property named 'nope' on type 'microsoft.graph.application'."},
		{"$select=DisplayName", "Could not find a property named 'DisplayName' on type 'microsoft.graph.application'. Names are case-sensitive: write displayName."},
		{"$select=api/nope", "Could not find a property named 'nope' on type 'microsoft.graph.apiApplication'."},
		{"$select=displayName/nope", "Could not find a property named 'nope' on type 'Edm.String'."},
		{"$filter=nope eq 1", "Could not find a property named 'nope' on type 'microsoft.graph.application'."},
		{"$filter=appRoles/any(r:r/nope eq 1)", "Could not find a property named 'nope' on type 'microsoft.graph.appRole'."},
		{"$filter=identifierUris/any(s:s/nope eq 1)", "Could not find a property named 'nope' on type 'Edm.String'."},
		{"$filter=nope/any()", "Could not find a property named 'nope'"},
		{"$filter=nope/$count eq 0", "Could not find a property named 'nope'"},
		{"$orderby=nope", "Could not find a property named 'nope'"},
		{`$search="nope:x"`, "Could not find a property named 'nope'"},
		{"$expand=nope", "Could not find a property named 'nope'"},
		{"$expand=displayName", "Could not find a property named 'displayName'"},
		{"$expand=owners($select=nope)", "Could not find a property named 'nope' on type 'microsoft.graph.directoryObject'."},

		{"$filter=displayName eq 1", "A binary operator with incompatible types was detected. Found operand types 'Edm.String' and 'Edm.Int32' for operator kind 'Equal'. Write text in single quotes."},
		{"$filter=displayName eq " + guid, "Found operand types 'Edm.String' and 'Edm.Guid'"},
		{"$filter=displayName in ('x',true)", "Found operand types 'Edm.String' and 'Edm.Boolean'"},
		{"$filter=isDisabled eq 'true'", "Found operand types 'Edm.Boolean' and 'Edm.String' for operator kind 'Equal'. Write true or false without quotes."},
		{"$filter=version lt '2'", "Found operand types 'Edm.Int64' and 'Edm.String' for operator kind 'LessThan'."},
		{"$filter=createdDateTime ge '2026-01-01T00:00:00Z'", "Found operand types 'Edm.DateTimeOffset' and 'Edm.String' for operator kind 'GreaterThanOrEqual'."},
		{"$filter=appId eq 7", "Found operand types 'Edm.Guid' and 'Edm.Int32'"},
		{"$filter=appId eq 'shop'", "Invalid value specified for property 'appId' of resource 'Application'."},
		{"$filter=platforms has null", "operator kind 'Has'"},
		{"$filter=startswith(displayName,1)", "No function signature for the function with name 'startswith'"},

		{"$filter=identifierUris eq 'x'", "'identifierUris' is a collection: look inside it by identifierUris/any(x:x eq 'y')"},
		{"$filter=appRoles/value eq 'x'", "'appRoles' is a collection: look inside it by appRoles/any(x:x/value eq 'y')"},
		{"$filter=api eq 'x'", "'api' is not one value"},
		{"$filter=displayName/any(x:x eq 'y')", "'displayName' is not a collection"},
		{"$filter=displayName/$count eq 0", "only collections have $count"},
	} {
		t.Run(tc.option, func(t *testing.T) {
			option, _, _ := strings.Cut(tc.option, "=")
			err := query(tc.option, "$count=true").Check(&applications, true)
			wantProblem(t, err, option, tc.text)
			if errors.Is(err, ErrUnsupported) || strings.Contains(err.Error(), "Unsupported Query.") {
				t.Errorf("%v is an unsupported query, want a bad request", err)
			}
		})
	}
}

func wantUnsupported(t *testing.T, err error, target string, parts ...string) {
	t.Helper()
	wantProblem(t, err, target, append(parts, "Unsupported Query.")...)
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v is a bad request, want an unsupported query", err)
	}
}
