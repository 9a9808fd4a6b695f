package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

var (
	tenant = directory.MustTenantID("3d1e2be9-a10a-4a0c-8380-7ce190f98ed9")
	issued = time.Unix(1700000000, 0)
)

type fixedSignature []byte

func (s fixedSignature) Sign([sha256.Size]byte) ([]byte, error) { return s, nil }

// TestClaims pins names, order and types of claims.
func TestClaims(t *testing.T) {
	base := Grant{
		Issuer: "https://issuer.example/", Audience: "api://a", Tenant: tenant,
		Principal: directory.MustObjectID("bbbbbbbb-0000-4000-8000-000000000001"),
		Client:    directory.MustClientID("aaaaaaaa-0000-4000-8000-000000000001"),
		ID:        "U", Issued: issued, Expires: issued.Add(time.Hour),
	}
	const (
		client    = "aaaaaaaa-0000-4000-8000-000000000001"
		principal = "bbbbbbbb-0000-4000-8000-000000000001"
		start     = `{"aud":"api://a","iss":"https://issuer.example/","iat":1700000000,"nbf":1700000000,"exp":1700003600,`
	)
	for _, row := range []struct {
		name   string
		change func(*Grant)
		want   string
	}{
		{"version 1", func(g *Grant) { g.Version = directory.V1 },
			start + `"appid":"` + client + `","appidacr":"2","idp":"https://issuer.example/","idtyp":"app","oid":"` + principal + `","sub":"` + principal + `","tid":"` + tenant.String() + `","uti":"U","ver":"1.0"}`},
		{"version 2 with roles", func(g *Grant) { g.Version, g.Roles = directory.V2, []string{"A.B", "C"} },
			start + `"azp":"` + client + `","azpacr":"2","idtyp":"app","oid":"` + principal + `","roles":["A.B","C"],"sub":"` + principal + `","tid":"` + tenant.String() + `","uti":"U","ver":"2.0"}`},
		{"an identity's, from a federation", func(g *Grant) { g.Version, g.Host, g.Identity, g.Federated = directory.V2, "/h", "/i", true },
			start + `"azp":"` + client + `","azpacr":"2","idtyp":"app","oid":"` + principal + `","sub":"` + principal + `","tid":"` + tenant.String() + `","uti":"U","ver":"2.0","xms_az_rid":"/h","xms_ficinfo":{},"xms_mirid":"/i"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := base
			row.change(&g)
			if got := string(g.AppendClaims(nil)); got != row.want {
				t.Errorf("\n got %s\nwant %s", got, row.want)
			}
			signed, err := Sign(&g, "K", fixedSignature("signature"))
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(signed, ".")
			header, err := base64.RawURLEncoding.DecodeString(parts[0])
			if err != nil {
				t.Fatal(err)
			}
			want := `{"typ":"JWT","alg":"RS256","kid":"K"}`
			if g.Version == directory.V1 {
				want = `{"typ":"JWT","alg":"RS256","x5t":"K","kid":"K"}`
			}
			if string(header) != want {
				t.Errorf("header %s", header)
			}
			if len(parts) != 3 || parts[2] != base64.RawURLEncoding.EncodeToString([]byte("signature")) {
				t.Errorf("token %s", signed)
			}
		})
	}
}

// FuzzString: whatever stands in a directory record, the token is one JSON
// object that reads back as that text.
func FuzzString(f *testing.F) {
	for _, seed := range []string{"", "a", `"`, `\`, "\x00\x1f\x7f", "ä\u2028\u202e", "\xff\xfe", `","admin":"true`, "</script>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := Grant{Version: directory.V1, Audience: s, Issuer: s, Roles: []string{s}, Identity: s, Host: s, ID: s, Issued: issued, Expires: issued}
		var claims struct {
			Audience string `json:"aud"`
			Roles    []string
			Identity string `json:"xms_mirid"`
		}
		if err := json.Unmarshal(g.AppendClaims(nil), &claims); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		want := string([]rune(s)) // each byte that is no UTF-8 becomes a replacement character
		if claims.Audience != want || claims.Identity != want || len(claims.Roles) != 1 || claims.Roles[0] != want {
			t.Fatalf("%q reads back as %q", s, claims.Audience)
		}
	})
}
