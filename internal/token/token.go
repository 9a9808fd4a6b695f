// Package token decides nothing: it holds what our tokens say. A Grant is the
// finished content of a token; signing it is a separate step, so that what was
// decided is exactly what is signed.
package token

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/directory"
)

// Backdate is how far iat and nbf lie before the moment of issue, so that a
// receiver whose clock is a little slow accepts the token at once. The real
// service does the same.
const Backdate = 300 * time.Second

// Grant is what an access token says. Zero fields are left out of the token.
type Grant struct {
	Version   directory.TokenVersion
	Issuer    string
	Audience  string
	Tenant    directory.TenantID
	Principal directory.ObjectID // oid and sub
	Client    directory.ClientID // appid in v1.0, azp in v2.0
	Roles     []string
	Identity  string // resource id of the managed identity, or of its host when system-assigned
	Host      string // resource id of the host that asked
	// Federated marks a managed identity's token that was itself obtained
	// through a federated credential; such a token is never accepted as one.
	Federated bool
	// User marks a token that acts for a user: Principal is the user then.
	User    *User
	Scopes  []string
	ID      string // uti
	Issued  time.Time
	Expires time.Time
}

// User is what a delegated token says of its user.
type User struct{ Name, UPN string }

// noProof is the value of appidacr and azpacr for public clients.
const noProof = "0"

// proofOfKey is the value of appidacr and azpacr for every client that proves
// itself with a signature: a certificate or an assertion.
const proofOfKey = "2"

// Signer returns the RS256 signature of a SHA-256 digest.
type Signer interface {
	Sign(digest [sha256.Size]byte) ([]byte, error)
}

// Sign turns the grant into a compact token, RFC 7515 section 3.1. The order of
// members is that of the real service; kid is the id that verifiers look the
// key up by.
func Sign(g *Grant, kid string, key Signer) (string, error) {
	header := make([]byte, 0, 160)
	header = append(header, `{"typ":"JWT","alg":"RS256"`...)
	if g.Version == directory.V1 {
		header = appendMember(header, "x5t", kid)
	}
	header = appendMember(header, "kid", kid)
	header = append(header, '}')

	claims := g.AppendClaims(make([]byte, 0, 1024))
	enc := base64.RawURLEncoding
	const signatureRoom = 342 // RSA-2048 in base64url
	token := make([]byte, 0, enc.EncodedLen(len(header))+enc.EncodedLen(len(claims))+2+signatureRoom)
	token = enc.AppendEncode(token, header)
	token = append(token, '.')
	token = enc.AppendEncode(token, claims)
	signature, err := key.Sign(sha256.Sum256(token))
	if err != nil {
		return "", err
	}
	token = append(token, '.')
	return string(enc.AppendEncode(token, signature)), nil
}

// AppendClaims appends the claims as one JSON object.
func (g *Grant) AppendClaims(b []byte) []byte {
	b = append(b, `{"aud":`...)
	b = appendString(b, g.Audience)
	b = appendMember(b, "iss", g.Issuer)
	b = appendTime(b, "iat", g.Issued)
	b = appendTime(b, "nbf", g.Issued)
	b = appendTime(b, "exp", g.Expires)
	client, proof, kind := g.Client.String(), proofOfKey, "app"
	if g.User != nil {
		proof, kind = noProof, "user"
	}
	if g.Version == directory.V1 {
		b = appendMember(b, "appid", client)
		b = appendMember(b, "appidacr", proof)
		b = appendMember(b, "idp", g.Issuer)
	} else {
		b = appendMember(b, "azp", client)
		b = appendMember(b, "azpacr", proof)
	}
	b = appendMember(b, "idtyp", kind)
	if g.User != nil {
		b = appendMember(b, "name", g.User.Name)
	}
	principal := g.Principal.String()
	b = appendMember(b, "oid", principal)
	if len(g.Roles) > 0 {
		b = append(b, `,"roles":[`...)
		for i, role := range g.Roles {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, role)
		}
		b = append(b, ']')
	}
	if g.User != nil {
		b = appendMember(b, "scp", strings.Join(g.Scopes, " "))
	}
	b = appendMember(b, "sub", principal)
	b = appendMember(b, "tid", g.Tenant.String())
	if g.User != nil {
		b = appendMember(b, "upn", g.User.UPN)
	}
	b = appendMember(b, "uti", g.ID)
	if g.Version == directory.V1 {
		b = appendMember(b, "ver", "1.0")
	} else {
		b = appendMember(b, "ver", "2.0")
	}
	if g.Host != "" {
		b = appendMember(b, "xms_az_rid", g.Host)
	}
	if g.Federated {
		b = append(b, `,"xms_ficinfo":{}`...)
	}
	if g.Identity != "" {
		b = appendMember(b, "xms_mirid", g.Identity)
	}
	return append(b, '}')
}

func appendMember(b []byte, name, value string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func appendTime(b []byte, name string, t time.Time) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, t.Unix(), 10)
}

// appendString appends s as a JSON string, RFC 8259 section 7. Invalid UTF-8
// becomes the replacement character, so that what is signed is always valid.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < 0x20:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
		}
	}
	return append(b, '"')
}
