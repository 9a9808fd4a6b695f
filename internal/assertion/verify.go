package assertion

import (
	"slices"
	"strings"
	"time"
)

// Expectation is what the credential being checked demands of a token. Every zero
// field is the strictest: no keys, no algorithms or no life refuse everything.
type Expectation struct {
	// Keys are the keys of exactly the issuer that the credential names.
	Keys KeySet
	// Algorithms are the names accepted, compared byte for byte.
	Algorithms []string
	// Skew is how far the issuer's clock may differ from ours. Negative is zero.
	Skew time.Duration
	// MaxLife is how long, beyond skew, the token may still be valid.
	MaxLife time.Duration
}

// Verifier verifies tokens and remembers which signatures were good, so that a
// token used again costs no public-key operation. It is safe for concurrent use.
// The zero Verifier remembers nothing and is ready to use.
type Verifier struct {
	memory memory
}

// NewVerifier makes a verifier that remembers at most that many tokens, about 120
// bytes each. With zero or less it remembers nothing.
func NewVerifier(remember int) *Verifier {
	return &Verifier{memory: newMemory(remember)}
}

// Verify is steps 4 and 6 to 9 of the verification contract: the algorithm is one
// that is expected, the key is the issuer's and fits, the signature is good, the
// claims have their types and the times are right at now. Matching the claims to a
// credential is the caller's next step.
//
// It returns claims or an [*Error], never both. A token verified before skips the
// signature and nothing else, and that only while its key is still in want.Keys.
func (v *Verifier) Verify(u *Unverified, want Expectation, now time.Time) (claims *Claims, err error) {
	defer recovered(&claims, &err)
	if u == nil || !u.wellFormed {
		return nil, refuse(Malformed, "no token")
	}
	// Steps 4 and 6: Algorithm by expectation, key by issuer.
	key, err := want.key(&u.compact)
	if err != nil {
		return nil, err
	}
	// Step 7: Verify the signature over the bytes received.
	known := v.memory.has(u.hash, key.print)
	if !known {
		if err := checkSignature(&u.compact, key); err != nil {
			return nil, err
		}
	}
	// Step 8: Only now do the claims mean anything.
	c, err := readClaims(u)
	if err != nil {
		return nil, err
	}
	// Step 9: Time.
	if err := want.checkTimes(c, now); err != nil {
		return nil, err
	}
	if !known {
		v.memory.add(u.hash, key.print, c.Expires.Add(want.skew()), now)
	}
	return c, nil
}

// key is steps 4 and 6.
func (want Expectation) key(c *compact) (*usableKey, error) {
	if !slices.Contains(want.Algorithms, c.algorithm) {
		if len(want.Algorithms) == 0 {
			return nil, refuse(Unsupported, "no algorithm is accepted here")
		}
		return nil, refuse(Unsupported, "algorithm is not one of "+strings.Join(want.Algorithms, ", "))
	}
	return want.Keys.find(c.keyID, c.algorithm)
}

// checkSignature is step 7.
func checkSignature(c *compact, key *usableKey) error {
	if !key.made(c.signature, c.signed) {
		return &Error{Fault: BadSignature, Detail: "the issuer's key did not make this signature", KeyID: c.keyID}
	}
	return nil
}

func (want Expectation) skew() time.Duration { return max(want.Skew, 0) }

// checkTimes is step 9. Bounds are added to times rather than times subtracted,
// because a difference of times saturates.
func (want Expectation) checkTimes(c *Claims, now time.Time) error {
	start := c.NotBefore
	if c.IssuedAt.After(start) {
		start = c.IssuedAt
	}
	fault := func(f Fault, detail string) error {
		return &Error{Fault: f, Detail: detail, NotBefore: start, Expires: c.Expires}
	}
	skew := want.skew()
	switch {
	case !c.NotBefore.IsZero() && !c.NotBefore.Before(c.Expires):
		return refuse(BadClaims, "claim nbf is not before exp")
	case now.After(c.Expires.Add(skew)):
		return fault(Expired, "the token has expired")
	case c.NotBefore.After(now.Add(skew)):
		return fault(NotYetValid, "the token is not valid yet (nbf)")
	case c.IssuedAt.After(now.Add(skew)):
		return fault(NotYetValid, "the token was issued in the future (iat)")
	case want.MaxLife <= 0:
		return fault(LifeTooLong, "no life is accepted here")
	case c.Expires.After(now.Add(want.MaxLife).Add(skew)):
		return fault(LifeTooLong, "the token is valid for longer than is accepted")
	}
	return nil
}
