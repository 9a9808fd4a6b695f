package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 for the larger algorithms
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

const (
	// MaxKeySet is the longest published key set, in bytes, that is looked at.
	MaxKeySet = 1 << 20
	// MaxKeys is how many keys of a published key set are used.
	MaxKeys = 100
)

// keySetLimits leaves the number of members to MaxKeySet: a set is parsed when it is
// fetched, not when a stranger calls.
var keySetLimits = Limits{Depth: 8, Members: MaxKeySet, String: MaxKeySet}

// Key is a public key and the one thing it may be used for.
type Key struct {
	// ID is the kid that tokens name it by, at most [MaxKeyID] bytes. A key without
	// ID fits only tokens that name no key.
	ID string
	// Algorithm is the one algorithm the key may be used with: RS256, RS384, RS512,
	// PS256, PS384, PS512, ES256, ES384 or ES512.
	Algorithm string
	// Public is an *rsa.PublicKey or *ecdsa.PublicKey.
	Public crypto.PublicKey
}

// Validate says why the key cannot be used, or returns nil: the algorithm must be
// known and fit the key; RSA has 2048 to 8192 bits, an odd modulus and an odd
// exponent from 65537 to 2³¹−1, and is not of the ROCA shape; EC is a point of
// P-256, P-384 or P-521, whichever the algorithm demands.
func (k Key) Validate() error {
	_, err := newUsableKey(k)
	return err
}

// KeySet is an immutable set of usable keys, safe for concurrent use. The zero
// KeySet is empty and verifies nothing.
type KeySet struct {
	keys      []*usableKey
	byID      map[string][]*usableKey
	ambiguous map[string]bool
}

// NewKeySet makes a set of those keys that are valid (see [Key.Validate]); the others
// are left out. It copies the public keys.
//
// Two different public keys under one ID make that ID unusable, because nobody can
// tell which was meant. The same public key may stand under one ID with several
// algorithms. Keys without an ID are each on their own.
func NewKeySet(keys ...Key) KeySet {
	set := KeySet{byID: map[string][]*usableKey{}, ambiguous: map[string]bool{}}
	for _, k := range keys {
		key, err := newUsableKey(k)
		if err != nil {
			continue
		}
		same := set.byID[key.id]
		if slices.ContainsFunc(same, func(other *usableKey) bool { return other.print == key.print && other.algorithm == key.algorithm }) {
			continue
		}
		if key.id != "" && slices.ContainsFunc(same, func(other *usableKey) bool { return other.print != key.print }) {
			set.ambiguous[key.id] = true
		}
		set.byID[key.id] = append(same, key)
		set.keys = append(set.keys, key)
	}
	set.keys = slices.DeleteFunc(set.keys, func(k *usableKey) bool { return set.ambiguous[k.id] })
	return set
}

// Len is the number of usable keys, each algorithm counted.
func (s KeySet) Len() int { return len(s.keys) }

// find is step 6 of the verification contract: the one key for a token.
func (s KeySet) find(keyID, algorithm string) (*usableKey, error) {
	fault := func(f Fault, detail string) error { return &Error{Fault: f, Detail: detail, KeyID: keyID} }
	candidates := s.keys
	if keyID != "" {
		candidates = s.byID[keyID]
		if s.ambiguous[keyID] {
			return nil, fault(UnknownKey, "two different keys of the issuer have this key ID")
		}
		if len(candidates) == 0 {
			return nil, fault(UnknownKey, "the issuer has no usable key of this key ID")
		}
	}
	var found *usableKey
	for _, key := range candidates {
		if key.algorithm != algorithm {
			continue
		}
		if found != nil {
			return nil, fault(UnknownKey, "the token names no key, and several of the issuer's fit")
		}
		found = key
	}
	switch {
	case found != nil:
		return found, nil
	case keyID == "":
		return nil, fault(UnknownKey, "the token names no key, and none of the issuer's fits")
	default:
		return nil, fault(Unsupported, "the key is for another algorithm")
	}
}

// usableKey is a private copy of a key that has passed every check.
type usableKey struct {
	id        string
	algorithm string
	public    crypto.PublicKey
	print     [sha256.Size]byte // equal for equal public keys only
}

func newUsableKey(k Key) (*usableKey, error) {
	if len(k.ID) > MaxKeyID {
		return nil, fmt.Errorf("key ID longer than %d bytes", MaxKeyID)
	}
	method, ok := methodOf(k.Algorithm)
	if !ok {
		return nil, errors.New("algorithm is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512")
	}
	key := &usableKey{id: k.ID, algorithm: k.Algorithm}
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		if method.curve != nil {
			return nil, errors.New("RSA key with an algorithm for EC keys")
		}
		if err := validateRSA(public); err != nil {
			return nil, err
		}
		own := &rsa.PublicKey{N: new(big.Int).Set(public.N), E: public.E}
		key.public = own
		key.print = sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("RSA"), own.N.Bytes()...), uint64(own.E)))
	case *ecdsa.PublicKey:
		if public == nil || method.curve == nil || public.Curve != method.curve {
			return nil, errors.New("EC key does not fit the algorithm")
		}
		point, err := pointOf(public)
		if err != nil {
			return nil, errors.New("EC key is not on its curve")
		}
		own, err := ecdsa.ParseUncompressedPublicKey(method.curve, point)
		if err != nil {
			return nil, errors.New("EC key is not on its curve")
		}
		key.public = own
		key.print = sha256.Sum256(append([]byte("EC "+method.curve.Params().Name), point...))
	default:
		return nil, errors.New("key is neither RSA nor EC")
	}
	return key, nil
}

// pointOf is the uncompressed point. Bytes panics on a key put together by hand
// without coordinates.
func pointOf(public *ecdsa.PublicKey) (point []byte, err error) {
	defer recovered(&point, &err)
	return public.Bytes()
}

// validateRSA is the strength rule. crypto/rsa itself accepts 1024 bits and an
// exponent of 3.
func validateRSA(k *rsa.PublicKey) error {
	switch {
	case k == nil || k.N == nil || k.N.Sign() <= 0:
		return errors.New("RSA key has no modulus")
	case k.N.BitLen() < 2048:
		return errors.New("RSA key is shorter than 2048 bits")
	case k.N.BitLen() > 8192:
		return errors.New("RSA key is longer than 8192 bits")
	case k.N.Bit(0) == 0:
		return errors.New("RSA modulus is even")
	case k.E < 65537 || k.E > 1<<31-1 || k.E%2 == 0:
		return errors.New("RSA exponent is not an odd number from 65537 to 2147483647")
	case hasROCAShape(k.N):
		return errors.New("RSA key was made by a broken generator (ROCA, CVE-2017-15361)")
	}
	return nil
}

// hasROCAShape tells the moduli of the broken Infineon generator: modulo each small
// prime they are a power of 65537. Another modulus looks so for all of these primes
// by chance less than once in 2²⁷ keys.
func hasROCAShape(n *big.Int) bool {
	for _, prime := range [...]uint64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
		101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		rest := new(big.Int).Mod(n, new(big.Int).SetUint64(prime)).Uint64()
		generator := 65537 % prime
		isPower := rest == 1
		for power := generator; power != 1; power = power * generator % prime {
			isPower = isPower || power == rest
		}
		if !isPower {
			return false
		}
	}
	return true
}

// Skipped is a key of a published set that is not used.
type Skipped struct {
	Index  int    // place in the set, from 0
	KeyID  string // the issuer's text, "" if it has none that is usable: escape it
	Reason string // safe to show; none of the key is in it
	// Private says that the set publishes secret parts of this key. That is worth an
	// alarm: whoever reads the set can sign as the issuer.
	Private bool
}

// ParseKeySet reads a JWK Set (RFC 7517 section 5) as an issuer publishes it. A key
// that cannot be used is skipped and does not harm the others; a text that is not
// strict JSON or has no array of keys is an [*Error] with fault Malformed, and then
// the set is empty. A set without keys is no error.
//
// A key is used if use is absent or sig, key_ops is absent or has verify, alg is
// absent or fits, no private member is present and [Key.Validate] agrees. Without alg an
// RSA key is for RS256 and an EC key for the algorithm of its curve.
func ParseKeySet(data []byte) (set KeySet, skipped []Skipped, err error) {
	defer func() {
		if err != nil {
			set, skipped = KeySet{}, nil
		}
	}()
	defer recovered(&set, &err)
	if len(data) > MaxKeySet {
		return set, nil, refuse(Malformed, fmt.Sprintf("key set longer than %d bytes", MaxKeySet))
	}
	members, err := parseObject(string(data), keySetLimits)
	if err != nil {
		return set, nil, refuse(Malformed, "key set: "+err.Error())
	}
	list := "null"
	for _, m := range members {
		if m.name == "keys" {
			list = m.raw
		}
	}
	entries, err := parseArray(list, keySetLimits)
	if err != nil {
		return set, nil, refuse(Malformed, "key set has no array named keys")
	}
	var keys []Key
	for i, entry := range entries {
		if i == MaxKeys {
			skipped = append(skipped, Skipped{Index: i, Reason: fmt.Sprintf("only the first %d keys are used", MaxKeys)})
			break
		}
		j := readJWK(entry)
		if j.err != nil {
			skipped = append(skipped, Skipped{Index: i, KeyID: j.key.ID, Reason: j.err.Error(), Private: j.private})
			continue
		}
		keys = append(keys, j.key)
	}
	return NewKeySet(keys...), skipped, nil
}

// jwk is one entry of a published set: either key, or err says why not.
type jwk struct {
	key     Key
	private bool
	err     error
}

// readJWK reads an entry that the strict parser has already accepted as JSON.
func readJWK(entry string) (j jwk) {
	members, err := parseObject(entry, keySetLimits)
	if err != nil {
		return jwk{err: errors.New("not an object")}
	}
	values := make(map[string]member, len(members))
	for _, m := range members {
		values[m.name] = m
	}
	text := func(name string) (value string) {
		m, present := values[name]
		if !present {
			return ""
		}
		value, ok := m.text()
		if !ok && j.err == nil {
			j.err = fmt.Errorf("member %s is not a string", name)
		}
		return value
	}

	if j.key.ID = text("kid"); len(j.key.ID) > MaxKeyID {
		j.key.ID, j.err = "", fmt.Errorf("member kid is longer than %d bytes", MaxKeyID)
	}
	for _, name := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, present := values[name]; present {
			j.private = true
			j.err = errors.New("publishes secret key material")
		}
	}
	if _, present := values["use"]; present && text("use") != "sig" {
		j.fail("is not for signatures (use)")
	}
	if ops, present := values["key_ops"]; present {
		names, ok := stringArray(ops.raw)
		if !ok || !slices.Contains(names, "verify") {
			j.fail("is not for verifying (key_ops)")
		}
	}
	j.key.Algorithm = text("alg")
	if _, present := values["alg"]; present && j.key.Algorithm == "" {
		j.fail("member alg is not a name")
	}
	kind, curve := text("kty"), text("crv")
	n, e, x, y := text("n"), text("e"), text("x"), text("y")
	if j.err != nil {
		return j
	}

	var fallback string
	switch kind {
	case "RSA":
		fallback = "RS256"
		j.key.Public, j.err = rsaFromJWK(n, e)
	case "EC":
		j.key.Public, fallback, j.err = ecFromJWK(curve, x, y)
	default:
		j.fail("is neither RSA nor EC (kty)")
	}
	if j.err != nil {
		return j
	}
	if j.key.Algorithm == "" {
		j.key.Algorithm = fallback
	}
	j.err = j.key.Validate()
	return j
}

// fail keeps the first reason.
func (j *jwk) fail(reason string) {
	if j.err == nil {
		j.err = errors.New(reason)
	}
}

// rsaFromJWK reads n and e of RFC 7518 section 6.3.1.
func rsaFromJWK(n, e string) (*rsa.PublicKey, error) {
	modulus, errN := decode([]byte(n))
	exponent, errE := decode([]byte(e))
	if errN != nil || errE != nil {
		return nil, errors.New("RSA modulus or exponent is not base64url")
	}
	if len(exponent) > 4 {
		return nil, errors.New("RSA exponent is too large")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}, nil
}

// ecFromJWK reads crv, x and y of RFC 7518 section 6.2.1 and returns the key and
// the algorithm of its curve. Coordinates have the full length of the field.
func ecFromJWK(curve, x, y string) (*ecdsa.PublicKey, string, error) {
	var c elliptic.Curve
	var algorithm string
	switch curve {
	case "P-256":
		c, algorithm = elliptic.P256(), "ES256"
	case "P-384":
		c, algorithm = elliptic.P384(), "ES384"
	case "P-521":
		c, algorithm = elliptic.P521(), "ES512"
	default:
		return nil, "", errors.New("EC curve is not P-256, P-384 or P-521")
	}
	size := fieldSize(c)
	px, errX := decode([]byte(x))
	py, errY := decode([]byte(y))
	if errX != nil || errY != nil || len(px) != size || len(py) != size {
		return nil, "", errors.New("EC coordinates are not base64url of the curve's length")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(c, slices.Concat([]byte{4}, px, py))
	if err != nil {
		return nil, "", errors.New("EC key is not on its curve")
	}
	return key, algorithm, nil
}
