package assertion

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	raw := entraToken()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		must(Parse(raw))
	}
}

func BenchmarkVerifyMiss(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		b.Run(alg, func(b *testing.B) {
			raw, keys := entraToken(), entraKeys()
			if alg == "ES256" {
				raw, keys = sign("ES256", ecKey(), `{"alg":"ES256"}`, goodClaims()), NewKeySet(Key{"", "ES256", ecKey().Public()})
			}
			u, want, v := must(Parse(raw)), expecting(keys, alg), NewVerifier(0)
			b.ReportAllocs()
			for b.Loop() {
				must(v.Verify(u, want, noon))
			}
		})
	}
}

func BenchmarkVerifyHit(b *testing.B) {
	u, want, v := must(Parse(entraToken())), expecting(entraKeys()), NewVerifier(1000)
	must(v.Verify(u, want, noon))
	b.ReportAllocs()
	for b.Loop() {
		must(v.Verify(u, want, noon))
	}
}

func BenchmarkParseAndVerifyHit(b *testing.B) {
	raw, want, v := entraToken(), expecting(entraKeys()), NewVerifier(1000)
	must(v.Verify(must(Parse(raw)), want, noon))
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		must(v.Verify(must(Parse(raw)), want, noon))
	}
}

// J9, I17: what an attacker can send costs less than a good token.
func BenchmarkHostile(b *testing.B) {
	var names []string
	for i := range 255 {
		names = append(names, fmt.Sprintf(`"%d":0`, i))
	}
	for name, raw := range map[string]string{
		"60KiBofDots":  strings.Repeat(".", 60<<10),
		"16KiBofDots":  strings.Repeat(".", 16<<10),
		"ManyNames":    sign("RS256", rsaKey(), rs256Header, `{"iss":"x",`+strings.Join(names, ",")+`}`),
		"TooManyNames": sign("RS256", rsaKey(), rs256Header, `{"iss":"x",`+strings.Join(names, ",")+`,"x":0,"y":0}`),
		"ManyElements": sign("RS256", rsaKey(), rs256Header, `{"iss":"x","aud":[`+strings.Repeat("1,", 5800)+`1]}`),
		"LongEscapes":  sign("RS256", rsaKey(), rs256Header, `{"iss":"`+strings.Repeat(`\u0041`, 1900)+`"}`),
		"LongestToken": sign("RS256", rsaKey(), rs256Header, `{"iss":"`+strings.Repeat("é", 5800)+`"}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse(raw)
			}
		})
	}
}

// J9: dots are refused without memory beyond the refusal itself.
func TestDotsCostNoMemory(t *testing.T) {
	for _, size := range []int{100, MaxToken, 60 << 10} {
		raw := strings.Repeat(".", size)
		if n := testing.AllocsPerRun(100, func() { Parse(raw) }); n > 3 {
			t.Errorf("%d dots cost %v allocations", size, n)
		}
	}
}

func BenchmarkSHA256OfToken(b *testing.B) {
	raw := []byte(entraToken())
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		sha256.Sum256(raw)
	}
}
