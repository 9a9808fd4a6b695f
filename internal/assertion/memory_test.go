package assertion

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// size is the number of tokens remembered. It also checks that each entry is found
// where the index says.
func (m *memory) size() (n int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.RLock()
		if len(s.place) != len(s.entries) {
			panic("index and entries differ in number")
		}
		for token, at := range s.place {
			if s.entries[at].token != token {
				panic("index points at another token")
			}
		}
		n += len(s.entries)
		s.mu.RUnlock()
	}
	return n
}

// A remembered token skips its signature and nothing else. To see whether the
// signature was looked at, these tests break it behind the verifier's back.
func TestRemembered(t *testing.T) {
	raw := goodToken()
	v := NewVerifier(100)
	want := expecting(rsaKeys())
	if _, err := v.Verify(must(Parse(raw)), want, noon); err != nil {
		t.Fatal(err)
	}
	broken := must(Parse(raw))
	broken.signature = make([]byte, 256)

	for _, tc := range []struct {
		name string
		want Expectation
		now  time.Time
		got  Fault
	}{
		{"the same key", want, noon, 0},
		{"the same key in a fresh set", expecting(NewKeySet(
			Key{"key-2", "RS256", otherRSA().Public()}, Key{kid, "RS256", rsaKey().Public()})), noon, 0},
		{"the key is retired", expecting(NewKeySet(Key{"key-2", "RS256", otherRSA().Public()})), noon, UnknownKey},
		{"the key moved to another key ID", expecting(NewKeySet(Key{"key-2", "RS256", rsaKey().Public()})), noon, UnknownKey},
		{"another key under the same key ID", expecting(NewKeySet(Key{kid, "RS256", otherRSA().Public()})), noon, BadSignature},
		{"two keys under the same key ID", expecting(NewKeySet(
			Key{kid, "RS256", otherRSA().Public()}, Key{kid, "RS256", rsaKey().Public()})), noon, UnknownKey},
		{"the key is for another algorithm now", expecting(NewKeySet(Key{kid, "PS256", rsaKey().Public()}), "RS256", "PS256"), noon, Unsupported},
		{"the algorithm is no longer accepted", expecting(rsaKeys(), "PS256"), noon, Unsupported},
		{"no keys", expecting(KeySet{}), noon, UnknownKey},
		{"it expired since", want, noon.Add(time.Hour + 5*time.Minute + time.Second), Expired},
		{"the clock went back", want, noon.Add(-time.Hour), NotYetValid},
		{"less life is accepted now", Expectation{Keys: rsaKeys(), Algorithms: []string{"RS256"}, MaxLife: time.Minute}, noon, LifeTooLong},
		{"no life is accepted now", Expectation{Keys: rsaKeys(), Algorithms: []string{"RS256"}}, noon, LifeTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims, err := v.Verify(broken, tc.want, tc.now)
			wantFault(t, err, tc.got)
			if (claims != nil) == (err != nil) {
				t.Errorf("claims %v with error %v", claims, err)
			}
		})
	}

	t.Run("a verifier that remembers nothing looks again", func(t *testing.T) {
		for _, v := range []*Verifier{{}, NewVerifier(0), NewVerifier(-1)} {
			for range 2 {
				if _, err := v.Verify(must(Parse(raw)), want, noon); err != nil {
					t.Fatal(err)
				}
			}
			_, err := v.Verify(broken, want, noon)
			wantFault(t, err, BadSignature)
		}
	})
}

// Only accepted tokens are remembered: a refusal must not help the next attempt.
func TestRefusalsAreNotRemembered(t *testing.T) {
	v := NewVerifier(100)
	for _, raw := range []string{
		sign("RS256", otherRSA(), rs256Header, goodClaims()),
		sign("RS256", rsaKey(), rs256Header, withClaim("aud", `[]`)),
		sign("RS256", rsaKey(), rs256Header, withClaim("exp", fmt.Sprint(at(-time.Hour)))),
		sign("RS256", rsaKey(), rs256Header, withClaim("exp", fmt.Sprint(at(1000*time.Hour)))),
	} {
		for range 2 {
			if _, err := v.Verify(must(Parse(raw)), expecting(rsaKeys()), noon); err == nil {
				t.Fatal("verified")
			}
		}
	}
	if n := v.memory.size(); n != 0 {
		t.Errorf("memory holds %d", n)
	}
}

// What a caller does to its claims cannot change what the next caller gets.
func TestClaimsAreNotShared(t *testing.T) {
	u := must(Parse(entraToken()))
	v := NewVerifier(10)
	want := expecting(entraKeys())
	for range 3 {
		claims, err := v.Verify(u, want, noon)
		if err != nil {
			t.Fatal(err)
		}
		if claims.Roles[0] != "Files.Read.All" || string(claims.Members[0].Value) != quote(audience) {
			t.Fatal("claims changed")
		}
		claims.Roles[0], claims.Subject = "Everything", "root"
		for i := range claims.Members {
			clear(claims.Members[i].Value)
			claims.Members[i].Value = append(claims.Members[i].Value, "overrun"...)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(-1, 70).Draw(t, "capacity")
		m := newMemory(capacity)
		now := noon
		var key [32]byte
		for i := range rapid.IntRange(0, 300).Draw(t, "tokens") {
			var token [32]byte
			binary.BigEndian.PutUint64(token[:], rapid.Uint64Range(0, 150).Draw(t, "token"))
			token = sha256.Sum256(token[:])
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "passing")) * time.Second)
			m.add(token, key, now.Add(time.Duration(rapid.IntRange(-10, 600).Draw(t, "life"))*time.Second), now)
			if capacity > 0 && !m.has(token, key) {
				t.Fatalf("token %d is not remembered", i)
			}
			if m.has(token, [32]byte{1}) {
				t.Fatal("remembered with another key")
			}
			if n := m.size(); n > max(capacity, 0) {
				t.Fatalf("memory holds %d of %d", n, capacity)
			}
		}
	})
}

func TestMemoryPrefersExpired(t *testing.T) {
	m := newMemory(4)
	var key [32]byte
	token := func(i byte) [32]byte { return [32]byte{i} }
	for i := range byte(4) {
		life := time.Hour
		if i == 2 {
			life = time.Minute
		}
		m.add(token(i), key, noon.Add(life), noon)
	}
	later := noon.Add(10 * time.Minute)
	m.add(token(10), key, later.Add(time.Hour), later) // in place of 2, which expired
	m.add(token(11), key, later.Add(time.Hour), later) // in place of 0, the oldest
	remembered := func(want ...byte) {
		t.Helper()
		for i := range byte(13) {
			if got := m.has(token(i), key); got != slices.Contains(want, i) {
				t.Errorf("token %d remembered: %v, want %v", i, got, want)
			}
		}
	}
	remembered(1, 3, 10, 11)
	m.add(token(12), key, later.Add(time.Hour), later) // in place of 1, the next
	remembered(3, 10, 11, 12)
}

// At the very second of its expiry a token is still good, so its place is not free.
func TestMemoryKeepsWhatIsStillGood(t *testing.T) {
	m := newMemory(2)
	var key [32]byte
	first, second, third := [32]byte{1}, [32]byte{2}, [32]byte{3}
	m.add(first, key, noon.Add(time.Hour), noon)
	m.add(second, key, noon.Add(time.Minute), noon)
	m.add(third, key, noon.Add(time.Hour), noon.Add(time.Minute))
	if m.has(first, key) || !m.has(second, key) || !m.has(third, key) {
		t.Error("a token that is still good went before an older one")
	}
}

// A token whose key was exchanged is remembered by the key that made it last.
func TestMemoryHoldsOneKeyOfAToken(t *testing.T) {
	m := newMemory(4)
	token, old, fresh := [32]byte{1}, [32]byte{2}, [32]byte{3}
	m.add(token, old, noon.Add(time.Hour), noon)
	m.add(token, fresh, noon.Add(time.Hour), noon)
	if m.has(token, old) || !m.has(token, fresh) || m.size() != 1 {
		t.Errorf("remembered by the old key: %v, by the new one: %v, entries: %d", m.has(token, old), m.has(token, fresh), m.size())
	}
}

func TestConcurrentUse(t *testing.T) {
	v := NewVerifier(8)
	want := expecting(rsaKeys())
	tokens := make([]*Unverified, 12)
	for i := range tokens {
		tokens[i] = must(Parse(sign("RS256", rsaKey(), rs256Header, withClaim("jti", fmt.Sprintf(`"%d"`, i)))))
	}
	bad := must(Parse(sign("RS256", otherRSA(), rs256Header, goodClaims())))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 60 {
				n := (g + i) % len(tokens)
				if c, err := v.Verify(tokens[n], want, noon); err != nil || c.ID != fmt.Sprint(n) {
					t.Errorf("token %d: %v", n, err)
				}
				if _, err := v.Verify(bad, want, noon); err == nil {
					t.Error("the bad token verified")
				}
			}
		})
	}
	wg.Wait()
	if n := v.memory.size(); n > 8 {
		t.Errorf("memory holds %d", n)
	}
}
