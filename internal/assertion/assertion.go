// Package assertion verifies JSON Web Tokens: client assertions, other issuers'
// tokens and our own. It is the only JWT parser of the product.
//
// Verifying is two calls, because the keys depend on who claims to have signed:
//
//	u, err := assertion.Parse(raw)              // bounds, strict decoding, header
//	…find the credential by u.Issuer(), take that issuer's keys…
//	claims, err := verifier.Verify(u, want, now) // algorithm, key, signature, claims, times
//
// Nothing read from an [Unverified] may decide anything except which of the
// already known credentials is tried. What the verified claims are worth (issuer,
// subject and audience against a credential) is decided elsewhere.
//
// The package makes no network connection, reads no clock, and never looks at
// keys or key addresses carried by a token (jwk, jku, x5u, x5c). It can verify
// RSA and ECDSA signatures only: there is no symmetric algorithm, no decryption
// and no decompression in it.
package assertion

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxToken is the longest token, in bytes as received, that is looked at.
	MaxToken = 16 << 10
	// MaxHeader is the longest header, in bytes after base64url decoding.
	MaxHeader = 4 << 10
	// MaxKeyID is the longest key ID, in bytes, in a token or a key set.
	MaxKeyID = 256
)

// base64url is the encoding of RFC 7515 section 2. Even the strict form skips CR
// and LF, so decode looks for those itself.
var base64url = base64.RawURLEncoding.Strict()

// Unverified is a well-formed token about which nothing is known yet. Only
// [Parse] makes useful ones; a zero Unverified has empty answers and never
// verifies. It is immutable, safe for concurrent use, and prints as its hash.
type Unverified struct {
	compact
	payload string
	members []member
	issuer  string
}

// compact is a token after steps 1 to 3 of the verification contract: bounded,
// decoded, its header understood. The payload is still bytes without meaning.
type compact struct {
	signed    string // header and payload as received: what the signature covers
	body      []byte // decoded payload
	signature []byte
	hash      [sha256.Size]byte

	algorithm  string
	keyID      string
	x5t        string
	x5tS256    string
	wellFormed bool
}

// Parse bounds and decodes a token in compact serialisation (RFC 7515 section
// 3.1) and reads its issuer. It verifies nothing.
//
// It returns an [*Error] with fault Malformed (size, encoding, JSON), Unsupported
// (encrypted token, JSON serialisation, critical extension, another token kind) or
// BadClaims (the issuer is absent, empty or not a string).
func Parse(raw string) (u *Unverified, err error) {
	defer recovered(&u, &err)
	c, err := parseCompact(raw)
	if err != nil {
		return nil, err
	}
	payload := string(c.body)
	members, err := parseObject(payload, claimLimits)
	if err != nil {
		return nil, refuse(Malformed, "claims: "+err.Error())
	}
	u = &Unverified{compact: c, payload: payload, members: members}
	u.issuer = u.text("iss")
	if u.issuer == "" {
		return nil, refuse(BadClaims, "claim iss is absent, empty or not a string")
	}
	return u, nil
}

// parseCompact does steps 1, 2 and 3 of the verification contract.
func parseCompact(raw string) (compact, error) {
	// Step 1: Bound it. Dots are counted before anything is split, so that a
	// token of dots costs one scan and no memory.
	if len(raw) > MaxToken {
		return compact{}, refuse(Malformed, fmt.Sprintf("longer than %d bytes", MaxToken))
	}
	switch dots := strings.Count(raw, "."); {
	case strings.HasPrefix(raw, "{"):
		return compact{}, refuse(Unsupported, "JSON serialisation; only the compact form is accepted")
	case dots == 4:
		return compact{}, refuse(Unsupported, "encrypted token (JWE); only signed tokens are accepted")
	case dots != 2:
		return compact{}, refuse(Malformed, "not three parts separated by dots")
	}
	first := strings.IndexByte(raw, '.')
	second := strings.LastIndexByte(raw, '.')
	if base64url.DecodedLen(first) > MaxHeader {
		return compact{}, refuse(Malformed, fmt.Sprintf("header longer than %d bytes", MaxHeader))
	}

	// Step 2: Decode strictly.
	token := []byte(raw)
	header, err := decode(token[:first])
	if err != nil {
		return compact{}, refuse(Malformed, "header: "+err.Error())
	}
	body, err := decode(token[first+1 : second])
	if err != nil {
		return compact{}, refuse(Malformed, "payload: "+err.Error())
	}
	signature, err := decode(token[second+1:])
	if err != nil {
		return compact{}, refuse(Malformed, "signature: "+err.Error())
	}

	// Step 3: Parse the header strictly.
	c := compact{
		signed:     raw[:second],
		body:       body,
		signature:  signature,
		hash:       sha256.Sum256(token),
		wellFormed: true,
	}
	if err := c.readHeader(string(header)); err != nil {
		return compact{}, err
	}
	return c, nil
}

// decode is base64url as RFC 7515 section 2 has it: its 64 characters and nothing
// else, spare bits zero, and at least one byte of content.
func decode(part []byte) ([]byte, error) {
	if bytes.IndexByte(part, '\r') >= 0 || bytes.IndexByte(part, '\n') >= 0 {
		return nil, errors.New("not base64url")
	}
	out := make([]byte, base64url.DecodedLen(len(part)))
	n, err := base64url.Decode(out, part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	if n == 0 {
		return nil, errors.New("empty")
	}
	return out[:n], nil
}

// readHeader is step 3. Members it does not name, among them jwk, jku, x5u and
// x5c, are checked for form by the strict parser and never looked at.
func (c *compact) readHeader(text string) error {
	members, err := parseObject(text, headerLimits)
	if err != nil {
		return refuse(Malformed, "header: "+err.Error())
	}
	for _, m := range members {
		value, isString := m.text()
		switch m.name {
		case "crit":
			return refuse(Unsupported, "header names critical extensions (crit)")
		case "b64", "zip", "enc":
			return refuse(Unsupported, "header member "+m.name+" is not accepted")
		case "alg":
			if !isString || value == "" {
				return refuse(Malformed, "header member alg is not a name")
			}
			c.algorithm = value
		case "kid":
			if !isString || len(value) > MaxKeyID {
				return refuse(Malformed, fmt.Sprintf("header member kid is not a string of at most %d bytes", MaxKeyID))
			}
			c.keyID = value
		case "typ":
			if !isString {
				return refuse(Malformed, "header member typ is not a string")
			}
			if otherKind(value) {
				return refuse(Unsupported, "header member typ names another kind of token")
			}
		case "x5t":
			c.x5t = value
		case "x5t#S256":
			c.x5tS256 = value
		}
	}
	if c.algorithm == "" {
		return refuse(Malformed, "header has no alg")
	}
	return nil
}

// otherKind says whether typ names a token that is signed for another purpose and
// so must never be taken for an assertion (RFC 8725 section 3.11). Media types
// compare without case and may leave out "application/" (RFC 7515 section 4.1.9).
func otherKind(typ string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(typ), ";")
	kind = strings.TrimPrefix(strings.TrimSpace(kind), "application/")
	switch kind {
	case "dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt",
		"token-introspection+jwt", "entity-statement+jwt":
		return true
	}
	return false
}

// Issuer is what the token says of its issuer, never empty after [Parse]. It may
// be used for one thing: to pick, by exact comparison, among credentials that are
// already known.
func (u *Unverified) Issuer() string { return u.issuer }

// Subject is what the token says of its subject, for explanations only. It is ""
// when the claim is absent or not a string.
func (u *Unverified) Subject() string { return u.text("sub") }

// KeyID is the header's kid: opaque text chosen by the sender, at most [MaxKeyID]
// bytes, possibly with control characters. It is "" when the token names no key.
func (u *Unverified) KeyID() string { return u.keyID }

// Algorithm is the header's alg, for explanations. It chooses nothing.
func (u *Unverified) Algorithm() string { return u.algorithm }

// Thumbprints are the header's x5t and x5t#S256 (RFC 7515 sections 4.1.7 and
// 4.1.8) as written: base64url of a certificate's SHA-1 and SHA-256. They may pick
// among certificates that are already registered. Each is "" when absent or not a
// string.
func (u *Unverified) Thumbprints() (x5t, x5tS256 string) { return u.x5t, u.x5tS256 }

// Hash is SHA-256 of the whole token as received. Its first bytes name the token
// in logs.
func (u *Unverified) Hash() [32]byte { return u.hash }

// ClaimsUnverified reads the claims without any proof that the issuer said them.
// It is for explaining a refusal and for showing what a token contains; never
// decide by it. It returns an [*Error] with fault BadClaims where [Verifier.Verify]
// would.
func (u *Unverified) ClaimsUnverified() (Claims, error) {
	c, err := readClaims(u)
	if err != nil {
		return Claims{}, err
	}
	return *c, nil
}

// Format keeps the token out of logs whatever the verb.
func (u Unverified) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "unverified token %x", u.hash[:4])
}

func (u *Unverified) text(name string) string {
	for _, m := range u.members {
		if m.name == name {
			value, _ := m.text()
			return value
		}
	}
	return ""
}
