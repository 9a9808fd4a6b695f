package graphapi

import (
	"net/http"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
)

func restoreNeed(action string) access.Permission {
	return access.Permission{Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/deletedItems.applications/" + action, Owner: true}
}

func (a *API) deletedRoutes() []Operation {
	all := []Operation{
		{Method: http.MethodGet, Path: "/directory/deletedItems/{id}", Need: readApplications, Query: &deletedSchema, Options: selecting, Handle: getDeleted},
		{Method: http.MethodPost, Path: "/directory/deletedItems/{id}/restore", Need: restoreNeed("restore"), Handle: restoreDeleted},
		{Method: http.MethodDelete, Path: "/directory/deletedItems/{id}", Need: restoreNeed("delete"), Handle: purgeDeleted},
	}
	for _, kind := range []directory.ObjectKind{directory.ApplicationObject, directory.PrincipalObject, directory.GroupObject, directory.UserObject} {
		for _, prefix := range []string{"", "microsoft.graph."} {
			path := "/directory/deletedItems/" + prefix + string(kind)
			all = append(all,
				Operation{Method: http.MethodGet, Path: path, Need: readApplications, Query: &deletedSchema, Options: listing, Handle: listDeleted(kind)},
				Operation{Method: http.MethodGet, Path: path + "/$count", Need: readApplications, Query: &deletedSchema, Options: filtering, Handle: countDeleted(kind)},
			)
		}
	}
	return all
}

// deletedSchema is what applications and service principals have together, and
// what of each clients look for.
var deletedSchema = odata.Schema{Type: "directoryObject", Properties: deletedProperties()}

func deletedProperties() map[string]odata.Property {
	m := make(map[string]odata.Property)
	for _, of := range []map[string]odata.Property{principalProperties(), applicationProperties()} {
		for name, p := range of {
			m[name] = p
		}
	}
	deleted := m["deletedDateTime"]
	deleted.Filter, deleted.Sort = odata.OpEq|odata.OpGe|odata.OpLe, odata.Always
	m["deletedDateTime"] = deleted
	return m
}

func (c *call) deletedEntity(o *manage.DeletedObject, domain string) entity {
	var e entity
	switch {
	case o.Application != nil:
		e = applicationEntity(o.Application, domain)
	case o.Principal != nil:
		e = principalEntity(o.Principal)
	default:
		e = entity{{"id", o.ID.String()}, {"displayName", o.Name}}
	}
	return append(entity{{"@odata.type", "#microsoft.graph." + string(o.Kind)}}, e.with("deletedDateTime", instant(o.At))...)
}

func (c *call) deletedOf(kind directory.ObjectKind) ([]entity, error) {
	domain, err := c.domain()
	if err != nil {
		return nil, err
	}
	found, err := c.api.manage.DeletedObjects(c.ctx, c.caller, c.tenant, kind)
	if err != nil {
		return nil, err
	}
	all := make([]entity, len(found))
	for i := range found {
		all[i] = c.deletedEntity(&found[i], domain)
	}
	return all, nil
}

func listDeleted(kind directory.ObjectKind) func(*call) error {
	return func(c *call) error {
		all, err := c.deletedOf(kind)
		if err != nil {
			return err
		}
		values, next, count, err := listAll(c, &deletedSchema, all)
		if err != nil {
			return err
		}
		return c.replyAll("directory/deletedItems", values, next, count)
	}
}

func countDeleted(kind directory.ObjectKind) func(*call) error {
	return func(c *call) error {
		all, err := c.deletedOf(kind)
		if err != nil {
			return err
		}
		values, _, _, err := listAll(c, &deletedSchema, all)
		if err != nil {
			return err
		}
		return c.replyCount(len(values))
	}
}

func getDeleted(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	o, err := c.api.manage.DeletedObject(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	domain, err := c.domain()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, "directoryObjects", c.deletedEntity(o, domain), "")
}

func restoreDeleted(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	domain, err := c.domain()
	if err != nil {
		return err
	}
	o, err := c.api.manage.RestoreObject(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return applicationFault(err)
	}
	return c.reply(http.StatusOK, "directoryObjects", c.deletedEntity(o, domain).with("deletedDateTime", nil), "")
}

func purgeDeleted(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	if err := c.api.manage.PurgeObject(c.ctx, c.caller, c.tenant, id); err != nil {
		return err
	}
	return c.replyNone()
}
