package odata

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/problem"
)

// applications is a schema with every feature, modelled on what Microsoft Graph
// documents for applications.
var applications = Schema{
	Type: "application",
	Properties: map[string]Property{
		"id":              {Kind: GUID, Filter: OpEq, Advanced: OpStartsWith},
		"appId":           {Kind: GUID, Filter: OpEq},
		"displayName":     {Kind: String, Filter: OpEq | OpStartsWith | OpGe | OpLe, Sort: Advanced, Search: SearchTokens},
		"description":     {Kind: String, Advanced: OpEq | OpStartsWith, Search: SearchTokens},
		"publisherDomain": {Kind: String, Filter: OpEq, Advanced: OpEndsWith, Search: SearchPrefix},
		"subject":         {Kind: StringExact, Filter: OpEq | OpStartsWith | OpEndsWith | OpContains | OpGt | OpGe | OpLt | OpLe},
		"isDisabled":      {Kind: Bool, Filter: OpEq},
		"version":         {Kind: Int, Filter: comparisons, Sort: Always},
		"createdDateTime": {Kind: Time, Filter: OpEq | OpGe | OpLe, Sort: Always},
		"platforms":       {Kind: String, Filter: OpHas},
		"notes":           {Kind: String},
		"secretHint":      {Kind: String, Filter: OpEq, FilterOnly: true},
		"identifierUris":  {Kind: String, Collection: true, Filter: OpEq | OpStartsWith, Advanced: OpCount, Search: SearchPrefix},
		"tags":            {Kind: String, Collection: true, Filter: OpEq | OpAll},
		"redirectUris":    {Kind: String, Collection: true},
		"appRoles": {Kind: Complex, Type: "appRole", Collection: true, Filter: OpAll | OpCount, Members: map[string]Property{
			"id":                 {Kind: GUID, Filter: OpEq},
			"value":              {Kind: String, Filter: OpEq},
			"hint":               {Kind: String},
			"allowedMemberTypes": {Kind: String, Collection: true, Filter: OpEq},
		}},
		"api": {Kind: Complex, Type: "apiApplication", Members: map[string]Property{
			"requestedAccessTokenVersion": {Kind: Int, Filter: OpEq},
		}},
	},
	Navigations: map[string]Navigation{
		"owners":                       {Type: &directoryObject, Expand: true, Count: true},
		"federatedIdentityCredentials": {Expand: true},
		"homeRealmDiscoveryPolicies":   {},
	},
}

var directoryObject = Schema{Type: "directoryObject", Properties: map[string]Property{
	"id":              {Kind: GUID, Filter: OpEq},
	"deletedDateTime": {Kind: Time},
}}

const guid = "0a1b2c3d-0000-4000-8000-00000000000f"

// shop is the entity that most tests look at.
func shop() Get {
	return FromMap(map[string]any{
		"id":              guid,
		"appId":           strings.ToUpper(guid),
		"displayName":     "Shop Front",
		"publisherDomain": "Contoso.com",
		"subject":         "repo:Shop",
		"isDisabled":      false,
		"version":         int64(2),
		"createdDateTime": time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
		"platforms":       "web, Spa",
		"identifierUris":  []string{"api://shop", "https://shop.example"},
		"tags":            []any{"a", "b"},
		"appRoles": []map[string]any{
			{"id": guid, "value": "Read", "allowedMemberTypes": []string{"User", "Application"}},
			{"id": nil, "value": nil},
		},
		"api":    map[string]any{"requestedAccessTokenVersion": int64(2)},
		"owners": int64(1),
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// wantProblem fails unless err is an invalid problem with that target and a
// message with each of the parts.
func wantProblem(t *testing.T, err error, target string, parts ...string) {
	t.Helper()
	var p *problem.Error
	if !errors.As(err, &p) || p.Kind != problem.Invalid {
		t.Fatalf("got %v, want an invalid problem", err)
	}
	if p.Target != target {
		t.Errorf("target is %q, want %q", p.Target, target)
	}
	for _, part := range parts {
		if !strings.Contains(p.Message, part) {
			t.Errorf("message %q lacks %q", p.Message, part)
		}
	}
}
