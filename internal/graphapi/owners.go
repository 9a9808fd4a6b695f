package graphapi

import (
	"net/http"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

func ownersNeed(kind, action string) access.Permission {
	need := access.Permission{Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/" + kind + "/owners/" + action, Owner: true}
	if action == "read" {
		need.Delegated, need.Application, need.Owner, need.Member = applicationReaders, applicationReading, false, true
	}
	return need
}

func (a *API) ownerRoutes() []Operation {
	var all []Operation
	for _, of := range []struct {
		collection string
		kind       directory.ObjectKind
	}{{"applications", directory.ApplicationObject}, {"servicePrincipals", directory.PrincipalObject}} {
		base := "/" + of.collection + "/{id}/owners"
		read, write := ownersNeed(of.collection, "read"), ownersNeed(of.collection, "update")
		all = append(all,
			Operation{Method: http.MethodGet, Path: base, Need: read, Query: &objectSchema, Options: listing, Handle: listOwners(of.kind, false)},
			Operation{Method: http.MethodGet, Path: base + "/$count", Need: read, Query: &objectSchema, Options: filtering, Handle: countOwners(of.kind)},
			Operation{Method: http.MethodGet, Path: base + "/$ref", Need: read, Query: &objectSchema, Options: paging, Handle: listOwners(of.kind, true)},
			Operation{Method: http.MethodPost, Path: base + "/$ref", Need: write, Handle: addOwner(of.kind)},
			Operation{Method: http.MethodDelete, Path: base + "/{owner}/$ref", Need: write, Handle: removeOwner(of.kind)},
		)
	}
	return all
}

func (c *call) ownedKey(kind directory.ObjectKind) (manage.Key, error) {
	if kind == directory.ApplicationObject {
		return c.applicationKey(0)
	}
	return c.principalKey(0)
}

func (c *call) owners(kind directory.ObjectKind) ([]entity, error) {
	key, err := c.ownedKey(kind)
	if err != nil {
		return nil, err
	}
	owners, err := c.api.manage.Owners(c.ctx, c.caller, c.tenant, kind, key)
	if err != nil {
		return nil, err
	}
	return c.objectEntities(owners)
}

func (c *call) objectEntities(objects []manage.DirectoryObject) ([]entity, error) {
	all := make([]entity, len(objects))
	for i := range objects {
		var err error
		if all[i], err = c.objectEntity(&objects[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func listOwners(kind directory.ObjectKind, references bool) func(*call) error {
	return func(c *call) error {
		all, err := c.owners(kind)
		if err != nil {
			return err
		}
		values, next, count, err := listAll(c, &objectSchema, all)
		if err != nil {
			return err
		}
		if !references {
			return c.replyAll("directoryObjects", values, next, count)
		}
		for i, e := range values {
			id, _ := e.get("id")
			text, _ := id.(string)
			values[i] = entity{{"@odata.id", c.base + "/directoryObjects/" + text}}
		}
		return c.replyAll("Collection($ref)", values, next, count)
	}
}

func countOwners(kind directory.ObjectKind) func(*call) error {
	return func(c *call) error {
		all, err := c.owners(kind)
		if err != nil {
			return err
		}
		values, _, _, err := listAll(c, &objectSchema, all)
		if err != nil {
			return err
		}
		return c.replyCount(len(values))
	}
}

func addOwner(kind directory.ObjectKind) func(*call) error {
	return func(c *call) error {
		key, err := c.ownedKey(kind)
		if err != nil {
			return err
		}
		owner, err := c.readReference()
		if err != nil {
			return err
		}
		c.named = key.String()
		if err := c.api.manage.AddOwner(c.ctx, c.caller, c.tenant, kind, key, owner); err != nil {
			return err
		}
		return c.replyNone()
	}
}

func removeOwner(kind directory.ObjectKind) func(*call) error {
	return func(c *call) error {
		key, err := c.ownedKey(kind)
		if err != nil {
			return err
		}
		owner, err := c.objectID(1)
		if err != nil {
			return err
		}
		c.named = key.String()
		if err := c.api.manage.RemoveOwner(c.ctx, c.caller, c.tenant, kind, key, owner); err != nil {
			return err
		}
		return c.replyNone()
	}
}
