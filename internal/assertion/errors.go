package assertion

import "time"

// Fault classifies why a token was refused. The zero Fault is not used.
type Fault int

const (
	// Malformed: not a compact signed token, not strict base64url or JSON, too long.
	Malformed Fault = iota + 1
	// Unsupported: well formed, but of an algorithm, extension or kind not accepted here.
	Unsupported
	// UnknownKey: the key set has no single usable key for it. A fresh key set may help.
	UnknownKey
	// BadSignature: the key did not make this signature.
	BadSignature
	// BadClaims: a claim is missing, has another type or is out of range.
	BadClaims
	// Expired: the expiry, with skew, has passed.
	Expired
	// NotYetValid: not-before or issued-at, with skew, lies ahead.
	NotYetValid
	// LifeTooLong: it would still be valid beyond the longest life accepted.
	LifeTooLong
)

// String is a short English name, for logs and tests.
func (f Fault) String() string {
	switch f {
	case Malformed:
		return "malformed"
	case Unsupported:
		return "unsupported"
	case UnknownKey:
		return "unknown key"
	case BadSignature:
		return "bad signature"
	case BadClaims:
		return "bad claims"
	case Expired:
		return "expired"
	case NotYetValid:
		return "not yet valid"
	case LifeTooLong:
		return "life too long"
	}
	return "unknown fault"
}

// Error is every refusal of this package.
type Error struct {
	Fault Fault
	// Detail says what is wrong in words that are safe to show: no part of the
	// token is in it.
	Detail string
	// NotBefore and Expires are the token's times, set with Expired, NotYetValid
	// and LifeTooLong. NotBefore is the later of nbf and iat, zero if it has neither.
	NotBefore, Expires time.Time
	// KeyID is the token's key ID, set with UnknownKey and BadSignature and when a
	// key is for another algorithm. It is the sender's text: escape it.
	KeyID string
}

// Error is the fault and its detail. It contains no part of the token.
func (e *Error) Error() string { return "token refused: " + e.Fault.String() + ": " + e.Detail }

func refuse(fault Fault, detail string) *Error { return &Error{Fault: fault, Detail: detail} }

// recovered turns a panic into a refusal, so that a fault in this package or below
// it can neither stop the server nor let half-read claims through.
func recovered[T any](out *T, err *error) {
	if recover() != nil {
		var none T
		*out, *err = none, refuse(Malformed, "verifier failed on this input")
	}
}
