package config

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/avouch/avouch/internal/directory"
)

func (d *decoder) directory(n *yaml.Node) *Directory {
	o, ok := d.object(n, "", "tenants")
	if !ok {
		return nil
	}
	dir := &Directory{Node: o.node}
	if o.fields["tenants"] == nil && len(d.errs) == 0 {
		d.failf(o.node.At("tenants"), "is required; write tenants: [] for a file that describes nothing")
	}
	dir.Tenants = sequence(o, "tenants", d.tenant)
	unique(d, dir.Tenants, func(t *Tenant) (Node, string, []string) {
		return t.Node, strings.ToLower(t.Name), []string{idKey("id", t.ID)}
	})
	return dir
}

func (d *decoder) tenant(n *yaml.Node, path string) (Tenant, bool) {
	o, ok := d.object(n, path, "name", "id", "displayName", "domains", "subscription",
		"managedIdentities", "hosts", "applications", "servicePrincipals", "appRoleAssignments",
		"users", "groups", "directoryRoleAssignments", "roleAssignments")
	if !ok {
		return Tenant{}, false
	}
	t := Tenant{
		Node:               o.node,
		Name:               o.required("name"),
		ID:                 parsed(o, "id", directory.ParseTenantID),
		DisplayName:        o.text("displayName"),
		Domains:            o.texts("domains"),
		Subscription:       parsed(o, "subscription", directory.ParseObjectID),
		ManagedIdentities:  sequence(o, "managedIdentities", d.identity),
		Hosts:              sequence(o, "hosts", d.host),
		Applications:       sequence(o, "applications", d.application),
		ServicePrincipals:  sequence(o, "servicePrincipals", d.servicePrincipal),
		AppRoleAssignments: sequence(o, "appRoleAssignments", d.assignment),

		Users:                    sequence(o, "users", d.user),
		Groups:                   sequence(o, "groups", d.group),
		DirectoryRoleAssignments: sequence(o, "directoryRoleAssignments", d.directoryRoleAssignment),
		RoleAssignments:          sequence(o, "roleAssignments", d.roleAssignment),
	}
	unique(d, t.ManagedIdentities, func(i *Identity) (Node, string, []string) {
		// Identity names are compared without case, within a resource group.
		key := strings.ToLower(i.Name)
		if i.ResourceGroup.Set {
			key = strings.ToLower(i.ResourceGroup.V) + "/" + key
		}
		return i.Node, key, []string{idKey("clientId", i.ClientID), idKey("principalId", i.PrincipalID)}
	})
	unique(d, t.Hosts, func(h *Host) (Node, string, []string) {
		return h.Node, h.Name, []string{idKey("id", h.ID)}
	})
	unique(d, t.Applications, func(a *Application) (Node, string, []string) {
		return a.Node, a.Name, []string{idKey("id", a.ID), idKey("clientId", a.ClientID)}
	})
	unique(d, t.ServicePrincipals, func(p *ServicePrincipal) (Node, string, []string) {
		return p.Node, p.Application, nil
	})
	unique(d, t.Users, func(u *User) (Node, string, []string) {
		return u.Node, strings.ToLower(u.UPN), []string{idKey("id", u.ID)}
	})
	unique(d, t.Groups, func(g *Group) (Node, string, []string) {
		return g.Node, g.Name, []string{idKey("id", g.ID)}
	})
	unique(d, t.AppRoleAssignments, func(a *Assignment) (Node, string, []string) {
		return a.Node, a.Role + " of " + a.Resource + " for " + a.Principal, nil
	})
	return t, true
}

func (d *decoder) identity(n *yaml.Node, path string) (Identity, bool) {
	o, ok := d.object(n, path, "name", "clientId", "principalId", "resourceGroup", "location", "federatedIdentityCredentials")
	if !ok {
		return Identity{}, false
	}
	return Identity{
		Node:                         o.node,
		Name:                         o.required("name"),
		ClientID:                     parsed(o, "clientId", directory.ParseClientID),
		PrincipalID:                  parsed(o, "principalId", directory.ParseObjectID),
		ResourceGroup:                o.text("resourceGroup"),
		Location:                     o.text("location"),
		FederatedIdentityCredentials: o.credentials(),
	}, true
}

func (d *decoder) host(n *yaml.Node, path string) (Host, bool) {
	o, ok := d.object(n, path, "name", "kind", "id", "resourceGroup", "location", "systemAssigned", "identities")
	if !ok {
		return Host{}, false
	}
	if o.fields["kind"] == nil {
		d.failf(o.node.At("kind"), "is required: virtualMachine or webApp")
	}
	return Host{
		Node:           o.node,
		Name:           o.required("name"),
		Kind:           parsed(o, "kind", oneOf(directory.VirtualMachine, directory.WebApp)).V,
		ID:             parsed(o, "id", directory.ParseObjectID),
		ResourceGroup:  o.text("resourceGroup"),
		Location:       o.text("location"),
		SystemAssigned: o.flag("systemAssigned"),
		Identities:     o.texts("identities"),
	}, true
}

func (d *decoder) application(n *yaml.Node, path string) (Application, bool) {
	o, ok := d.object(n, path, "name", "id", "clientId", "signInAudience", "identifierUris", "requestedAccessTokenVersion",
		"disabled", "assignmentRequired", "appRoles", "owners", "federatedIdentityCredentials")
	if !ok {
		return Application{}, false
	}
	a := Application{
		Node:     o.node,
		Name:     o.required("name"),
		ID:       parsed(o, "id", directory.ParseObjectID),
		ClientID: parsed(o, "clientId", directory.ParseClientID),
		Audience: parsed(o, "signInAudience", oneOf(directory.SingleTenant, directory.MultiTenant,
			directory.MultiTenantAndPersons, directory.PersonsOnly)),
		IdentifierURIs:               o.texts("identifierUris"),
		TokenVersion:                 o.tokenVersion("requestedAccessTokenVersion"),
		Disabled:                     o.flag("disabled"),
		AssignmentRequired:           o.flag("assignmentRequired"),
		AppRoles:                     sequence(o, "appRoles", d.appRole),
		Owners:                       o.texts("owners"),
		FederatedIdentityCredentials: o.credentials(),
	}
	unique(d, a.AppRoles, func(r *AppRole) (Node, string, []string) {
		return r.Node, r.Value, []string{idKey("id", r.ID)}
	})
	return a, true
}

func (d *decoder) appRole(n *yaml.Node, path string) (AppRole, bool) {
	o, ok := d.object(n, path, "value", "displayName", "id", "description", "disabled")
	if !ok {
		return AppRole{}, false
	}
	return AppRole{
		Node:        o.node,
		Value:       o.required("value"),
		DisplayName: o.required("displayName"),
		ID:          parsed(o, "id", directory.ParseObjectID),
		Description: o.text("description"),
		Disabled:    o.flag("disabled"),
	}, true
}

// credentials decodes the federatedIdentityCredentials of an application or a
// managed identity.
func (o *object) credentials() List[Credential] {
	list := sequence(o, "federatedIdentityCredentials", o.d.credential)
	unique(o.d, list, func(c *Credential) (Node, string, []string) { return c.Node, c.Name, nil })
	return list
}

func (d *decoder) credential(n *yaml.Node, path string) (Credential, bool) {
	o, ok := d.object(n, path, "name", "managedIdentity", "issuer", "subject", "audiences", "description")
	if !ok {
		return Credential{}, false
	}
	c := Credential{
		Node:            o.node,
		Name:            o.required("name"),
		ManagedIdentity: o.text("managedIdentity"),
		Issuer:          o.text("issuer"),
		Subject:         o.text("subject"),
		Description:     o.text("description"),
	}
	audiences := o.texts("audiences")
	switch {
	case len(audiences.Items) == 1:
		c.Audience = Value[string]{V: audiences.Items[0], Set: true}
	case audiences.Set:
		d.failf(o.node.At("audiences"), "must list exactly one audience; here are %d. For more, write one credential for each.", len(audiences.Items))
	}
	if o.fields["managedIdentity"] != nil {
		for _, name := range []string{"issuer", "subject"} {
			if o.fields[name] != nil {
				d.failf(o.node.At(name), "cannot stand beside managedIdentity, which fills it; remove one of the two")
			}
		}
		return c, true
	}
	for _, name := range []string{"issuer", "subject", "audiences"} {
		if o.fields[name] == nil {
			d.failf(o.node.At(name), "is required, unless managedIdentity names an identity of this tenant")
		}
	}
	return c, true
}

func (d *decoder) servicePrincipal(n *yaml.Node, path string) (ServicePrincipal, bool) {
	o, ok := d.object(n, path, "application", "assignmentRequired", "disabled")
	if !ok {
		return ServicePrincipal{}, false
	}
	application := o.required("application")
	if _, err := directory.ParseClientID(application); application != "" && err != nil && !strings.Contains(application, "/") {
		d.failf(o.node.At("application"), "must be written tenant/name, such as contoso/orders, or be a client id; here is %q", clip(application))
	}
	return ServicePrincipal{
		Node:               o.node,
		Application:        application,
		AssignmentRequired: o.flag("assignmentRequired"),
		Disabled:           o.flag("disabled"),
	}, true
}

func (d *decoder) assignment(n *yaml.Node, path string) (Assignment, bool) {
	o, ok := d.object(n, path, "principal", "resource", "role")
	if !ok {
		return Assignment{}, false
	}
	return Assignment{
		Node:      o.node,
		Principal: o.required("principal"),
		Resource:  o.required("resource"),
		Role:      o.required("role"),
	}, true
}

func (d *decoder) user(n *yaml.Node, path string) (User, bool) {
	o, ok := d.object(n, path, "userPrincipalName", "displayName", "id", "disabled")
	if !ok {
		return User{}, false
	}
	return User{
		Node:     o.node,
		UPN:      o.required("userPrincipalName"),
		Name:     o.text("displayName"),
		ID:       parsed(o, "id", directory.ParseObjectID),
		Disabled: o.flag("disabled"),
	}, true
}

func (d *decoder) group(n *yaml.Node, path string) (Group, bool) {
	o, ok := d.object(n, path, "name", "id", "roleAssignable", "members")
	if !ok {
		return Group{}, false
	}
	return Group{
		Node:           o.node,
		Name:           o.required("name"),
		ID:             parsed(o, "id", directory.ParseObjectID),
		RoleAssignable: o.flag("roleAssignable"),
		Members:        o.texts("members"),
	}, true
}

func (d *decoder) directoryRoleAssignment(n *yaml.Node, path string) (DirectoryRoleAssignment, bool) {
	o, ok := d.object(n, path, "principal", "role", "application")
	if !ok {
		return DirectoryRoleAssignment{}, false
	}
	return DirectoryRoleAssignment{
		Node:        o.node,
		Principal:   o.required("principal"),
		Role:        o.required("role"),
		Application: o.text("application"),
	}, true
}

func (d *decoder) roleAssignment(n *yaml.Node, path string) (RoleAssignment, bool) {
	o, ok := d.object(n, path, "principal", "role", "scope", "resourceGroup")
	if !ok {
		return RoleAssignment{}, false
	}
	if o.fields["scope"] != nil && o.fields["resourceGroup"] != nil {
		d.failf(o.node.At("resourceGroup"), "cannot stand beside scope; remove one of the two")
	}
	return RoleAssignment{
		Node:          o.node,
		Principal:     o.required("principal"),
		Role:          o.required("role"),
		Scope:         o.text("scope"),
		ResourceGroup: o.text("resourceGroup"),
	}, true
}

// unique reports items of a list that have the same name or the same id.
func unique[T any](d *decoder, list List[T], key func(*T) (n Node, name string, ids []string)) {
	lines := make(map[string]int)
	for i := range list.Items {
		n, name, ids := key(&list.Items[i])
		for _, k := range append(ids, "name "+name) {
			field, value, _ := strings.Cut(k, " ")
			if value == "" {
				continue
			}
			if line, twice := lines[k]; twice {
				d.failf(n.Pos, "%s %s is listed twice; first in line %d", field, printable(value), line)
				continue
			}
			lines[k] = n.Pos.Line
		}
	}
}

func idKey[T interface{ String() string }](field string, v Value[T]) string {
	if !v.Set {
		return ""
	}
	return field + " " + v.V.String()
}
