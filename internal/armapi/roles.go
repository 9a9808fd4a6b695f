package armapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

// term is one condition of a filter: a call such as atScope() or
// assignedTo('…'), or a comparison such as principalId eq '…'.
type term struct {
	name  string // in lower case
	call  bool
	value string
}

// parseFilter reads terms that are joined by "and". Nothing else is understood
// (threats A1): which terms a list supports is for the list to say.
func parseFilter(s string) ([]term, bool) {
	rest := strings.TrimSpace(s)
	if rest == "" {
		return nil, true
	}
	if len(rest) > 1024 {
		return nil, false
	}
	var terms []term
	for {
		n := 0
		for n < len(rest) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z') {
			n++
		}
		if n == 0 {
			return nil, false
		}
		t := term{name: strings.ToLower(rest[:n])}
		rest = strings.TrimLeft(rest[n:], " ")
		var valid bool
		switch {
		case strings.HasPrefix(rest, "("):
			t.call = true
			rest = strings.TrimLeft(rest[1:], " ")
			if strings.HasPrefix(rest, "'") {
				if t.value, rest, valid = quoted(rest); !valid {
					return nil, false
				}
				rest = strings.TrimLeft(rest, " ")
			}
			if rest, valid = strings.CutPrefix(rest, ")"); !valid {
				return nil, false
			}
		case len(rest) > 3 && strings.EqualFold(rest[:3], "eq "):
			if t.value, rest, valid = quoted(strings.TrimLeft(rest[3:], " ")); !valid {
				return nil, false
			}
		default:
			return nil, false
		}
		terms = append(terms, t)
		if rest = strings.TrimLeft(rest, " "); rest == "" {
			return terms, true
		}
		if len(rest) < 4 || !strings.EqualFold(rest[:4], "and ") {
			return nil, false
		}
		rest = strings.TrimLeft(rest[4:], " ")
	}
}

// quoted reads a text in single quotes, in which a doubled quote is one.
func quoted(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, "'") {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", "", false
}

// principalTypes are the wire's names of what a role can be assigned to.
var principalTypes = map[directory.ObjectKind]string{
	directory.UserObject: "User", directory.GroupObject: "Group", directory.PrincipalObject: "ServicePrincipal",
}

type assignmentItem struct {
	Properties assignmentProperties `json:"properties"`
	ID         string               `json:"id"`
	Type       string               `json:"type"`
	Name       string               `json:"name"`
}

type assignmentProperties struct {
	RoleDefinitionID                   string  `json:"roleDefinitionId"`
	PrincipalID                        string  `json:"principalId"`
	PrincipalType                      string  `json:"principalType"`
	Scope                              string  `json:"scope"`
	Condition                          *string `json:"condition"`
	ConditionVersion                   *string `json:"conditionVersion"`
	CreatedOn                          string  `json:"createdOn"`
	UpdatedOn                          string  `json:"updatedOn"`
	CreatedBy                          *string `json:"createdBy"`
	UpdatedBy                          *string `json:"updatedBy"`
	DelegatedManagedIdentityResourceID *string `json:"delegatedManagedIdentityResourceId"`
	Description                        *string `json:"description"`
}

// under writes the id of what is attached to a scope.
func under(scope, rest string) string {
	if scope == "/" {
		return rest
	}
	return scope + rest
}

func stamp(t time.Time) string {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format("2006-01-02T15:04:05.0000000Z")
}

func person(id directory.ObjectID) *string {
	if id.IsZero() {
		return nil
	}
	s := id.String()
	return &s
}

func assignmentOf(a *directory.AzureAssignment) assignmentItem {
	prefix := ""
	if at, ok := parseResourceID(a.Scope); ok && !at.subscription.IsZero() {
		prefix = manage.SubscriptionScope(at.subscription)
	}
	item := assignmentItem{
		ID: under(a.Scope, "/providers/Microsoft.Authorization/roleAssignments/"+a.ID.String()), Type: "Microsoft.Authorization/roleAssignments", Name: a.ID.String(),
		Properties: assignmentProperties{
			RoleDefinitionID: prefix + "/providers/Microsoft.Authorization/roleDefinitions/" + a.Role.String(),
			PrincipalID:      a.Principal.String(), PrincipalType: principalTypes[a.PrincipalKind], Scope: a.Scope,
			CreatedOn: stamp(a.Created), UpdatedOn: stamp(a.Updated), CreatedBy: person(a.CreatedBy), UpdatedBy: person(a.UpdatedBy),
		},
	}
	if text := a.Kept.Text("description"); text != "" {
		item.Properties.Description = &text
	}
	return item
}

func listAssignments(c *call) (*reply, error) {
	at, err := c.scope()
	if err != nil {
		return nil, err
	}
	terms, valid := parseFilter(c.query.Get("$filter"))
	var q manage.AzureAssignmentQuery
	named := func(t term, to *directory.ObjectID) {
		id, err := directory.ParseObjectID(t.value)
		if valid = valid && err == nil && to.IsZero(); valid {
			*to = id
		}
	}
	for _, t := range terms {
		switch {
		case t.name == "atscope" && t.call && t.value == "":
			q.AtScope = true
		case t.name == "principalid" && !t.call:
			named(t, &q.Principal)
		case t.name == "assignedto" && t.call:
			named(t, &q.AssignedTo)
		default:
			valid = false
		}
	}
	if !valid || q.AtScope && !q.Principal.IsZero() {
		return nil, badRequest("UnsupportedQuery", "The filter is not supported. Supported filters are 'atScope()', \"principalId eq '{value}'\", \"assignedTo('{value}')\" and \"atScope() and assignedTo('{value}')\".")
	}
	assignments, err := c.api.manage.AzureAssignments(c.ctx, c.caller, c.tenant, c.action, at.scope(), q)
	if err != nil {
		return nil, err
	}
	all := make([]assignmentItem, 0, len(assignments))
	for i := range assignments {
		all = append(all, assignmentOf(&assignments[i]))
	}
	return paged(c, all, func(a assignmentItem) string { return a.ID })
}

// assignmentID is the scope and the name of the path.
func (c *call) assignmentID() (resourceID, directory.ObjectID, error) {
	at, err := c.scope()
	if err != nil {
		return at, directory.ObjectID{}, err
	}
	id, err := directory.ParseObjectID(c.params[1])
	if err != nil {
		return at, id, badRequest("InvalidRoleAssignmentId", "The role assignment ID '"+printable(c.params[1])+"' is not valid. The role assignment ID must be a GUID.")
	}
	return at, id, nil
}

func getAssignment(c *call) (*reply, error) {
	at, id, err := c.assignmentID()
	if err != nil {
		return nil, err
	}
	a, err := c.api.manage.AzureAssignment(c.ctx, c.caller, c.tenant, c.action, at.scope(), id)
	if err != nil {
		return nil, err
	}
	return ok(assignmentOf(a))
}

func putAssignment(c *call) (*reply, error) {
	at, id, err := c.assignmentID()
	if err != nil {
		return nil, err
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	if err := body.own(under(at.String(), "/providers/Microsoft.Authorization/roleAssignments/"+id.String()), id.String(), "Microsoft.Authorization/roleAssignments"); err != nil {
		return nil, err
	}
	properties, err := body.object("properties")
	if err != nil {
		return nil, err
	}
	text := make(map[string]string)
	for _, name := range []string{"roleDefinitionId", "principalId", "principalType", "scope", "description", "condition", "conditionVersion", "delegatedManagedIdentityResourceId"} {
		if text[name], err = properties.text(name); err != nil {
			return nil, err
		}
	}
	a := directory.AzureAssignment{ID: id}
	if a.Principal, err = directory.ParseObjectID(text["principalId"]); err != nil {
		return nil, badRequest("InvalidPrincipalId", "The principal ID '"+printable(text["principalId"])+"' is not valid. Principal ID must be a GUID.")
	}
	if text["roleDefinitionId"] == "" {
		return nil, badRequest("InvalidRoleDefinitionId", "The role definition ID is required.")
	}
	a.Role = roleOf(text["roleDefinitionId"], at)
	if stated := text["scope"]; stated != "" {
		if parsed, ok := parseResourceID(stated); !ok || !strings.EqualFold(parsed.String(), at.String()) {
			return nil, badContent("'scope' is read-only and is not that of the request URI")
		}
	}
	if kind := text["principalType"]; kind != "" {
		for known, name := range principalTypes {
			if strings.EqualFold(name, kind) {
				a.PrincipalKind = known
			}
		}
		if a.PrincipalKind == "" {
			return nil, badRequest("UnmatchedPrincipalType", "The principal type '"+printable(kind)+"' is not one of 'User', 'Group' and 'ServicePrincipal'.")
		}
	}
	// A condition narrows what a role gives. It is not evaluated here, so to store
	// it would give more than was asked for.
	if text["condition"] != "" || text["delegatedManagedIdentityResourceId"] != "" {
		return nil, badRequest("BadRequest", "Role assignments with a condition or a delegated managed identity are not supported.")
	}
	if len(text["description"]) > 1024 {
		return nil, badRequest("BadRequest", "The description of a role assignment has at most 1024 characters.")
	}
	a.Kept = a.Kept.With("description", manage.KeptText(text["description"]))
	after, created, err := c.api.manage.PutAzureAssignment(c.ctx, c.caller, c.tenant, c.action, at.scope(), a)
	if errors.Is(err, manage.ErrNoRole) {
		return nil, noRole(text["roleDefinitionId"])
	}
	if err != nil {
		return nil, err
	}
	item := assignmentOf(after)
	if !created {
		return ok(item)
	}
	item.Properties.CreatedBy = nil // only later answers name the author
	return &reply{status: http.StatusCreated, body: item}, nil
}

// roleOf reads the id of a role definition. What stands before its name is a
// scope of the same subscription, or nothing: definitions are the same
// everywhere. It is zero for what is no such id: that there is no such role is
// told only where the caller may assign one.
func roleOf(id string, at resourceID) directory.ObjectID {
	path, no := readPath(id)
	if no != nil || path.link != id {
		return directory.ObjectID{}
	}
	segments := strings.Split(strings.TrimPrefix(id, "/"), "/")
	n := len(segments)
	if at := extension(segments); at < 0 || at != n-4 || !strings.EqualFold(segments[n-2], "roleDefinitions") {
		return directory.ObjectID{}
	}
	scope, valid := parseResourceID("/" + strings.Join(segments[:n-4], "/"))
	if !valid || !scope.subscription.IsZero() && !at.subscription.IsZero() && scope.subscription != at.subscription {
		return directory.ObjectID{}
	}
	role, err := directory.ParseObjectID(segments[n-1])
	if err != nil {
		return directory.ObjectID{}
	}
	return role
}

func noRole(id string) *failure {
	return &failure{status: http.StatusNotFound, code: "RoleDefinitionDoesNotExist", text: "The specified role definition with ID '" + printable(id) + "' does not exist."}
}

func deleteAssignment(c *call) (*reply, error) {
	at, id, err := c.assignmentID()
	if err != nil {
		return nil, err
	}
	a, err := c.api.manage.DeleteAzureAssignment(c.ctx, c.caller, c.tenant, c.action, at.scope(), id)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return deleted(false)
	}
	return ok(assignmentOf(a))
}

type definitionItem struct {
	Properties definitionProperties `json:"properties"`
	ID         string               `json:"id"`
	Type       string               `json:"type"`
	Name       string               `json:"name"`
}

type definitionProperties struct {
	RoleName         string       `json:"roleName"`
	Type             string       `json:"type"`
	Description      string       `json:"description"`
	AssignableScopes []string     `json:"assignableScopes"`
	Permissions      []permission `json:"permissions"`
	CreatedOn        string       `json:"createdOn"`
	UpdatedOn        string       `json:"updatedOn"`
	CreatedBy        *string      `json:"createdBy"`
	UpdatedBy        *string      `json:"updatedBy"`
}

type permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// builtinSince stands for when the built-in roles were made.
const builtinSince = "2015-02-02T21:55:09.8806423Z"

// definitionOf is a role definition, whose id has the subscription of the
// request before it.
func definitionOf(at resourceID, r *access.AzureRole) definitionItem {
	prefix := ""
	if !at.subscription.IsZero() {
		prefix = manage.SubscriptionScope(at.subscription)
	}
	all := func(actions []string) []string { return append([]string{}, actions...) }
	return definitionItem{
		ID: prefix + "/providers/Microsoft.Authorization/roleDefinitions/" + r.ID.String(), Type: "Microsoft.Authorization/roleDefinitions", Name: r.ID.String(),
		Properties: definitionProperties{
			RoleName: r.Name, Type: "BuiltInRole", Description: r.Description, AssignableScopes: []string{"/"},
			Permissions: []permission{{all(r.Actions), all(r.NotActions), all(r.DataActions), all(r.NotDataActions)}},
			CreatedOn:   builtinSince, UpdatedOn: builtinSince,
		},
	}
}

func listDefinitions(c *call) (*reply, error) {
	at, err := c.scope()
	if err != nil {
		return nil, err
	}
	terms, valid := parseFilter(c.query.Get("$filter"))
	if err := c.api.manage.DecideAzure(c.ctx, c.caller, c.tenant, c.action, at.scope()); err != nil {
		return nil, err
	}
	roles := access.AzureRoles()
	for _, t := range terms {
		switch {
		case t.name == "rolename" && !t.call:
			roles = slices.DeleteFunc(roles, func(r access.AzureRole) bool { return !strings.EqualFold(r.Name, t.value) })
		case t.name == "type" && !t.call:
			if !strings.EqualFold(t.value, "BuiltInRole") {
				roles = nil // no role is anything else
			}
		case (t.name == "atscope" || t.name == "atscopeandbelow") && t.call && t.value == "":
		default:
			valid = false
		}
	}
	if !valid {
		return nil, badFilter()
	}
	all := make([]definitionItem, 0, len(roles))
	for i := range roles {
		all = append(all, definitionOf(at, &roles[i]))
	}
	return paged(c, all, func(d definitionItem) string { return d.ID })
}

func getDefinition(c *call) (*reply, error) {
	at, err := c.scope()
	if err != nil {
		return nil, err
	}
	if err := c.api.manage.DecideAzure(c.ctx, c.caller, c.tenant, c.action, at.scope()); err != nil {
		return nil, err
	}
	id, err := directory.ParseObjectID(c.params[1])
	role, known := access.AzureRoleByID(id)
	if err != nil || !known {
		return nil, noRole(c.params[1])
	}
	return ok(definitionOf(at, &role))
}
