package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
)

// method is what an algorithm name of RFC 7518 section 3.1 stands for. These nine
// are all there are: none and the symmetric ones do not exist here.
type method struct {
	hash  crypto.Hash
	pss   bool
	curve elliptic.Curve // nil for RSA
}

// methodOf compares names byte for byte.
func methodOf(algorithm string) (method, bool) {
	switch algorithm {
	case "RS256":
		return method{hash: crypto.SHA256}, true
	case "RS384":
		return method{hash: crypto.SHA384}, true
	case "RS512":
		return method{hash: crypto.SHA512}, true
	case "PS256":
		return method{hash: crypto.SHA256, pss: true}, true
	case "PS384":
		return method{hash: crypto.SHA384, pss: true}, true
	case "PS512":
		return method{hash: crypto.SHA512, pss: true}, true
	case "ES256":
		return method{hash: crypto.SHA256, curve: elliptic.P256()}, true
	case "ES384":
		return method{hash: crypto.SHA384, curve: elliptic.P384()}, true
	case "ES512":
		return method{hash: crypto.SHA512, curve: elliptic.P521()}, true
	}
	return method{}, false
}

// made says whether the key made the signature over the bytes, by the key's own
// algorithm. Nothing the token says has a part in it.
func (k *usableKey) made(signature []byte, signed string) bool {
	m, ok := methodOf(k.algorithm)
	if !ok {
		return false
	}
	h := m.hash.New()
	h.Write([]byte(signed))
	digest := h.Sum(nil)

	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if m.pss {
			// RFC 7518 section 3.5: the salt is as long as the hash.
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.VerifyPSS(public, m.hash, digest, signature, options) == nil
		}
		return rsa.VerifyPKCS1v15(public, m.hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		// RFC 7518 section 3.4: R and S, each as long as the field; never DER.
		size := fieldSize(m.curve)
		if len(signature) != 2*size {
			return false
		}
		r := new(big.Int).SetBytes(signature[:size])
		s := new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(public, digest, r, s)
	}
	return false
}

// fieldSize is the length in bytes of one coordinate.
func fieldSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }
