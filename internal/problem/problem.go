// Package problem holds the one error type that may be shown to callers: a
// kind, a public message and a private cause. Every API family turns the kind
// into its own wire format; anything that is not a *problem.Error is internal
// and its text stays inside.
package problem

import (
	"errors"
	"fmt"
)

// Kind classifies a problem. The zero Kind is Internal.
type Kind int

// The kinds. None of them names a protocol's status.
const (
	Internal    Kind = iota // a fault of ours; the message says nothing about it
	Invalid                 // the request breaks a rule of shape or range
	NotFound                // the object is absent, or belongs to somebody else
	Conflict                // the object exists, or changed since it was read
	Limit                   // a count or size limit is reached
	Denied                  // the caller may not do this
	Unavailable             // a dependency is down or full; trying again may help
)

func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Limit:
		return "limit"
	case Denied:
		return "denied"
	case Unavailable:
		return "unavailable"
	default:
		return "internal"
	}
}

// Error is what callers may see of a failure.
type Error struct {
	Kind    Kind
	Message string // what is wrong, and the likely fix; safe to show
	Target  string // which field or object, in the caller's words; "" when none
	Cause   error  // private; never shown to callers
}

// Error returns the public message, followed by the cause for logs.
func (e *Error) Error() string {
	msg := e.Message
	if e.Target != "" {
		msg = e.Target + ": " + msg
	}
	if e.Cause != nil {
		return msg + ": " + e.Cause.Error()
	}
	return msg
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.Cause }

// Public is the message without the cause: what a caller is shown.
func (e *Error) Public() string {
	if e.Target != "" {
		return e.Target + ": " + e.Message
	}
	return e.Message
}

// Newf makes a problem of the kind. %w is not honoured: use Wrap for causes.
func Newf(kind Kind, target, format string, args ...any) *Error {
	return &Error{Kind: kind, Target: target, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a problem with a private cause.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Cause: cause, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first *Error in err's chain, Internal if
// there is none.
func KindOf(err error) Kind {
	var p *Error
	if errors.As(err, &p) {
		return p.Kind
	}
	return Internal
}
