package directory

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// AppRoleAssignmentID is the id of an app role assignment on the wire: its
// principal and its own id in the order of bytes of the service's own platform,
// in base64url.
func AppRoleAssignmentID(principal, assignment ObjectID) string {
	return base64.RawURLEncoding.EncodeToString(append(littleEndian(principal.id), littleEndian(assignment.id)...))
}

// ParseAppRoleAssignmentID reads what AppRoleAssignmentID wrote; nothing else is
// an id.
func ParseAppRoleAssignmentID(s string) (principal, assignment ObjectID, ok bool) {
	ids := fromLittleEndian(s)
	if len(ids) != 2 || AppRoleAssignmentID(ids[0], ids[1]) != s {
		return ObjectID{}, ObjectID{}, false
	}
	return ids[0], ids[1], true
}

// PermissionGrantID is the id of a permission grant on the wire: client,
// resource and, when it is for one user, the user.
func PermissionGrantID(client, resource, user ObjectID) string {
	b := append(littleEndian(client.id), littleEndian(resource.id)...)
	if !user.IsZero() {
		b = append(b, littleEndian(user.id)...)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseRoleAssignmentID reads what RoleAssignmentID wrote; nothing else is an id.
func ParseRoleAssignmentID(s string) (role, principal, scope ObjectID, ok bool) {
	if at := strings.LastIndexByte(s, '-'); at >= 0 {
		if ids := fromLittleEndian(s[:at]); len(ids) == 2 || len(ids) == 3 {
			role, principal = ids[0], ids[1]
			if len(ids) == 3 {
				scope = ids[2]
			}
		}
	}
	if role.IsZero() || RoleAssignmentID(role, principal, scope) != s {
		return ObjectID{}, ObjectID{}, ObjectID{}, false
	}
	return role, principal, scope, true
}

// fromLittleEndian reads GUIDs in base64url; nil when there are other things.
func fromLittleEndian(s string) []ObjectID {
	const size, most = 16, 3
	if len(s) > base64.RawURLEncoding.EncodedLen(most*size) {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b)%size != 0 {
		return nil
	}
	var ids []ObjectID
	for part := range slices.Chunk(b, size) {
		u := id{uuid.UUID(littleEndian(id{uuid.UUID(part)}))} // swapped twice is as it was
		if u.IsZero() {
			return nil
		}
		ids = append(ids, ObjectID{u})
	}
	return ids
}
