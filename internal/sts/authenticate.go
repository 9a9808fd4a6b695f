package sts

import (
	"errors"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/directory"
)

// BearerFault says why an access token that was presented to one of the
// platform's own APIs is not one.
type BearerFault string

// The faults, in the order in which they are looked for.
const (
	BearerEmpty     BearerFault = "empty"
	BearerMalformed BearerFault = "malformed"
	BearerForged    BearerFault = "forged"   // unknown key, bad signature, an algorithm that is not ours
	BearerExpired   BearerFault = "expired"  // or not valid yet
	BearerIssuer    BearerFault = "issuer"   // not an issuer of ours for the tenant that it names
	BearerAudience  BearerFault = "audience" // for another API
)

// BearerError is the refusal of an access token. Detail is for people who call
// from this machine.
type BearerError struct {
	Fault  BearerFault
	Detail string
}

func (e *BearerError) Error() string { return "access token: " + string(e.Fault) + ": " + e.Detail }

// Authenticate verifies an access token that is presented to one of the
// platform's own APIs, with the one verifier, and says whom it speaks for. The
// audience must be one of those of the API, compared whole and exact. The
// tenant comes from the token alone. Nothing else of the token counts: whether
// the caller still exists, and what it may do, is read from the directory by
// whoever carries the request out. The error is a *BearerError.
func (s *Service) Authenticate(bearer string, audiences []string) (*access.Caller, error) {
	if bearer == "" {
		return nil, &BearerError{BearerEmpty, "there is none"}
	}
	parsed, err := assertion.Parse(bearer)
	if err != nil {
		return nil, bearerError(err)
	}
	claims, err := s.verifier.Verify(parsed, s.ownExpectation(), s.now())
	if err != nil {
		return nil, bearerError(err)
	}
	tenant, err := directory.ParseTenantID(claims.TenantID)
	if err != nil || claims.Issuer != s.cloud.V1IssuerOf(tenant) && claims.Issuer != s.cloud.V2IssuerOf(tenant) {
		return nil, &BearerError{BearerIssuer, "its issuer is not this platform's for the tenant that it names"}
	}
	if !slices.Contains(audiences, claims.Audience) {
		return nil, &BearerError{BearerAudience, "it is for " + claims.Audience + ", and this API is " + audiences[0]}
	}
	client := claims.AuthorizedParty
	if client == "" {
		client = claims.AppID
	}
	caller := &access.Caller{Tenant: tenant, User: claims.IDType == "user", Scopes: strings.Fields(claims.Scope)}
	if caller.Principal, err = directory.ParseObjectID(claims.ObjectID); err == nil {
		caller.Client, err = directory.ParseClientID(client)
	}
	// A token of ours names both; what it is decides by which rules it may act.
	if err != nil || caller.User != (len(caller.Scopes) > 0) || !caller.User && claims.IDType != "app" {
		return nil, &BearerError{BearerMalformed, "it is not an access token of this platform"}
	}
	return caller, nil
}

func bearerError(err error) *BearerError {
	var e *assertion.Error
	if !errors.As(err, &e) {
		return &BearerError{BearerMalformed, err.Error()}
	}
	switch e.Fault {
	case assertion.UnknownKey, assertion.BadSignature, assertion.Unsupported:
		return &BearerError{BearerForged, e.Detail}
	case assertion.Expired, assertion.NotYetValid, assertion.LifeTooLong:
		return &BearerError{BearerExpired, e.Detail}
	}
	return &BearerError{BearerMalformed, e.Detail}
}
