package graphapi

import (
	"net/http"

	"github.com/avouch/avouch/internal/directory"
)

func (a *API) meRoutes() []Operation {
	return []Operation{
		{Method: http.MethodGet, Path: "/me", Need: readSelf, Query: &userSchema, Options: selecting, Handle: me(getUser)},
		{Method: http.MethodGet, Path: "/me/ownedObjects", Need: readSelf, Query: &objectSchema, Options: listing, Handle: me(ownedObjects(directory.UserObject))},
		{Method: http.MethodGet, Path: "/me/memberOf", Need: readSelf, Query: &objectSchema, Options: listing, Handle: me(memberOf(directory.UserObject, false))},
		{Method: http.MethodGet, Path: "/me/transitiveMemberOf", Need: readSelf, Query: &objectSchema, Options: listing, Handle: me(memberOf(directory.UserObject, true))},
	}
}

// me answers an operation on a user for the user who calls.
func me(handle func(*call) error) func(*call) error {
	return func(c *call) error {
		if !c.caller.Access.User {
			return badRequest("/me request is only valid with delegated authentication flow.")
		}
		c.params = []string{c.caller.Access.Principal.String()}
		return handle(c)
	}
}
