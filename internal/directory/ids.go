package directory

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ErrNotFound is returned, wrapped, when an object is absent or belongs to
// another tenant; the two are never told apart.
var ErrNotFound = errors.New("not found")

// ErrConflict is returned, wrapped, when an object with the same key exists or
// changed since it was read.
var ErrConflict = errors.New("conflict")

// An id is a GUID in canonical lower-case form. The zero id is invalid and
// prints as the empty string, so that it cannot be mistaken for a real one.
type id struct{ u uuid.UUID }

func (i id) String() string {
	if i.IsZero() {
		return ""
	}
	return i.u.String()
}

// IsZero reports whether the id was never set.
func (i id) IsZero() bool { return i.u == uuid.Nil }

// MarshalText implements encoding.TextMarshaler; the zero id gives "".
func (i id) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText accepts the canonical 36-character form in any case, and ""
// for the zero id.
func (i *id) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*i = id{}
		return nil
	}
	parsed, err := parseID(string(text))
	if err != nil {
		return err
	}
	*i = parsed
	return nil
}

func parseID(s string) (id, error) {
	if len(s) != 36 {
		return id{}, fmt.Errorf("%q is not a GUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", clip(s))
	}
	u, err := uuid.Parse(s)
	if err != nil || u == uuid.Nil {
		return id{}, fmt.Errorf("%q is not a GUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", clip(s))
	}
	return id{u}, nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// TenantID names a tenant.
type TenantID struct{ id }

// ObjectID names a directory object; PrincipalID in field names is the
// ObjectID of a service principal.
type ObjectID struct{ id }

// ClientID names an application or a managed identity to the token service:
// client_id and appId on the wire.
type ClientID struct{ id }

// ParseTenantID parses a GUID in any case; the all-zero GUID is refused.
func ParseTenantID(s string) (TenantID, error) { i, err := parseID(s); return TenantID{i}, err }

// ParseObjectID parses a GUID in any case; the all-zero GUID is refused.
func ParseObjectID(s string) (ObjectID, error) { i, err := parseID(s); return ObjectID{i}, err }

// ParseClientID parses a GUID in any case; the all-zero GUID is refused.
func ParseClientID(s string) (ClientID, error) { i, err := parseID(s); return ClientID{i}, err }

// NewTenantID returns a random id. Ids are never reused.
func NewTenantID() TenantID { return TenantID{id{uuid.New()}} }

// NewObjectID returns a random id. Ids are never reused.
func NewObjectID() ObjectID { return ObjectID{id{uuid.New()}} }

// NewClientID returns a random id. Ids are never reused.
func NewClientID() ClientID { return ClientID{id{uuid.New()}} }

// MustTenantID parses an id known at compile time and panics on a malformed one.
func MustTenantID(s string) TenantID { return must(ParseTenantID(s)) }

// MustObjectID does as MustTenantID.
func MustObjectID(s string) ObjectID { return must(ParseObjectID(s)) }

// MustClientID does as MustTenantID.
func MustClientID(s string) ClientID { return must(ParseClientID(s)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
