package assertion

import (
	"strings"
	"time"
)

// Claims is what a token says (RFC 7519 section 4, and the claims of Entra tokens).
// A claim that is absent is "" or zero, except that Issuer, Subject, Audience and
// Expires are always set. Nothing in it is shared with another Claims.
type Claims struct {
	Issuer   string // iss, never empty
	Subject  string // sub, never empty
	Audience string // aud: exactly one, never empty

	TenantID        string // tid
	ObjectID        string // oid
	AppID           string // appid
	AuthorizedParty string // azp
	IDType          string // idtyp
	Scope           string // scp; an array of strings is joined with spaces
	Version         string // ver; a number is given as written
	ManagedResource string // xms_mirid
	ID              string // jti, or uti if there is no jti

	// Roles is roles if that is an array of strings. Issuers that are not ours give
	// the name other shapes; those read as no roles.
	Roles []string
	// Federated says that member xms_ficinfo is present, whatever its value: the
	// token was itself obtained by a federated credential.
	Federated bool

	Expires   time.Time // exp, in UTC and whole seconds, like the next two
	NotBefore time.Time // nbf
	IssuedAt  time.Time // iat

	// Members is every claim in the order written, for showing a token. Decide by
	// the fields above.
	Members []Member
}

// readClaims is step 8 of the verification contract. It reads the text that was
// verified, never a second parse of it.
func readClaims(u *Unverified) (*Claims, error) {
	c := &Claims{}
	var uti string
	var err error
	for _, m := range u.members {
		switch m.name {
		case "iss":
			c.Issuer, err = stringClaim(m)
		case "sub":
			c.Subject, err = stringClaim(m)
		case "aud":
			c.Audience, err = audienceClaim(m)
		case "tid":
			c.TenantID, err = stringClaim(m)
		case "oid":
			c.ObjectID, err = stringClaim(m)
		case "appid":
			c.AppID, err = stringClaim(m)
		case "azp":
			c.AuthorizedParty, err = stringClaim(m)
		case "idtyp":
			c.IDType, err = stringClaim(m)
		case "xms_mirid":
			c.ManagedResource, err = stringClaim(m)
		case "jti":
			c.ID, err = stringClaim(m)
		case "uti":
			uti, err = stringClaim(m)
		case "scp":
			c.Scope, err = scopeClaim(m)
		case "ver":
			c.Version, err = versionClaim(m)
		case "roles":
			c.Roles, _ = stringArray(m.raw)
		case "xms_ficinfo":
			c.Federated = true
		case "exp":
			c.Expires, err = dateClaim(m)
		case "nbf":
			c.NotBefore, err = dateClaim(m)
		case "iat":
			c.IssuedAt, err = dateClaim(m)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case c.Issuer == "":
		return nil, refuse(BadClaims, "claim iss is absent or empty")
	case c.Subject == "":
		return nil, refuse(BadClaims, "claim sub is absent or empty")
	case c.Audience == "":
		return nil, refuse(BadClaims, "claim aud is absent or empty")
	case c.Expires.IsZero():
		return nil, refuse(BadClaims, "claim exp is absent")
	}
	if c.ID == "" {
		c.ID = uti
	}
	c.Members = export(u.payload, u.members)
	return c, nil
}

func stringClaim(m member) (string, error) {
	value, ok := m.text()
	if !ok {
		return "", refuse(BadClaims, "claim "+m.name+" is not a string")
	}
	return value, nil
}

// audienceClaim accepts one audience only. Which of several is meant is the
// question behind too many bypasses (threats F4 and F5).
func audienceClaim(m member) (string, error) {
	if value, ok := m.text(); ok {
		return value, nil
	}
	if values, ok := stringArray(m.raw); ok && len(values) == 1 {
		return values[0], nil
	}
	return "", refuse(BadClaims, "claim aud is not one string or an array of one string")
}

func scopeClaim(m member) (string, error) {
	if value, ok := m.text(); ok {
		return value, nil
	}
	if values, ok := stringArray(m.raw); ok {
		return strings.Join(values, " "), nil
	}
	return "", refuse(BadClaims, "claim scp is not a string or an array of strings")
}

func versionClaim(m member) (string, error) {
	if value, ok := m.text(); ok {
		return value, nil
	}
	if c := m.raw[0]; c == '-' || '0' <= c && c <= '9' {
		return m.raw, nil
	}
	return "", refuse(BadClaims, "claim ver is not a string or a number")
}

func dateClaim(m member) (time.Time, error) {
	seconds, ok := numericDate(m.raw)
	if !ok {
		return time.Time{}, refuse(BadClaims, "claim "+m.name+" is not a time in seconds from 1970 to 9999")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// stringArray is raw if it is an array of strings. An empty array gives nil.
func stringArray(raw string) (values []string, ok bool) {
	if raw[0] != '[' {
		return nil, false
	}
	elements, err := parseArray(raw, claimLimits)
	if err != nil {
		return nil, false
	}
	for i, element := range elements {
		if elements[i], ok = unquote(element); !ok {
			return nil, false
		}
	}
	return elements, true
}

// lastSecond is 9999-12-31T23:59:59Z, the end of what RFC 3339 can write.
const lastSecond = 253402300799

// numericDate reads a NumericDate (RFC 7519 section 2) digit by digit, because a
// float would round. raw must be a JSON value. A fraction is cut off, which on a
// number that is not negative is its floor. Exponent forms are refused: no issuer
// needs one, and they are a way to write numbers of any size.
func numericDate(raw string) (seconds int64, ok bool) {
	whole, fraction, _ := strings.Cut(raw, ".")
	if whole == "" || len(whole) > len("253402300799") {
		return 0, false
	}
	for _, c := range []byte(whole) {
		if c < '0' || c > '9' {
			return 0, false
		}
		seconds = seconds*10 + int64(c-'0')
	}
	for _, c := range []byte(fraction) {
		if c < '0' || c > '9' {
			return 0, false
		}
		if c != '0' && seconds == lastSecond {
			return 0, false
		}
	}
	return seconds, seconds <= lastSecond
}
