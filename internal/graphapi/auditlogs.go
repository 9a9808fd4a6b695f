package graphapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/odata"
)

var (
	readSignIns = access.Permission{Delegated: []string{"AuditLog.Read.All"}, Application: []string{"AuditLog.Read.All"}, Action: "microsoft.directory/signInReports/allProperties/read"}
	readAudits  = access.Permission{Delegated: []string{"AuditLog.Read.All"}, Application: []string{"AuditLog.Read.All"}, Action: "microsoft.directory/auditLogs/allProperties/read"}
)

func (a *API) auditRoutes() []Operation {
	const signIns, audits = "/auditLogs/signIns", "/auditLogs/directoryAudits"
	offered := selecting | filtering | ordering | paging
	var all []Operation
	for _, version := range versions {
		schema := &signInSchema
		if version == "v1.0" {
			schema = &oldSignInSchema
		}
		all = append(all,
			Operation{Method: http.MethodGet, Path: signIns, Versions: []string{version}, Need: readSignIns, Query: schema, Options: offered, Handle: listSignIns},
			Operation{Method: http.MethodGet, Path: signIns + "/{id}", Versions: []string{version}, Need: readSignIns, Query: schema, Options: selecting, Handle: getSignIn},
		)
	}
	return append(all,
		Operation{Method: http.MethodGet, Path: audits, Need: readAudits, Query: &auditSchema, Options: offered, Handle: listAudits},
		Operation{Method: http.MethodGet, Path: audits + "/{id}", Need: readAudits, Query: &auditSchema, Options: selecting, Handle: getAudit},
	)
}

var (
	plainText       = odata.Property{Kind: odata.String}
	searchedText    = odata.Property{Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith}
	searchedID      = odata.Property{Kind: odata.GUID, Filter: odata.OpEq}
	searchedTime    = odata.Property{Kind: odata.Time, Filter: odata.OpEq | odata.OpGe | odata.OpLe | odata.OpGt | odata.OpLt, Sort: odata.Always}
	signInSchema    = odata.Schema{Type: "signIn", Properties: signInProperties(true)}
	oldSignInSchema = odata.Schema{Type: "signIn", Properties: signInProperties(false)}
)

// signInProperties are those of the beta version, or of v1.0, which knows no
// sign-ins but those of people (reference/graph.md, 11.1).
func signInProperties(beta bool) map[string]odata.Property {
	properties := map[string]odata.Property{
		"id": searchedID, "createdDateTime": searchedTime, "correlationId": searchedID, "userDisplayName": searchedText,
		"userPrincipalName": searchedText, "userId": searchedID, "appId": searchedID, "appDisplayName": searchedText,
		"ipAddress": searchedText, "clientAppUsed": searchedText, "conditionalAccessStatus": searchedText,
		"isInteractive": {Kind: odata.Bool, Filter: odata.OpEq}, "riskDetail": plainText, "resourceDisplayName": searchedText, "resourceId": searchedText,
		"status": {Kind: odata.Complex, Type: "signInStatus", Members: map[string]odata.Property{
			"errorCode": {Kind: odata.Int, Filter: odata.OpEq}, "failureReason": plainText, "additionalDetails": plainText,
		}},
	}
	if !beta {
		return properties
	}
	for name, p := range map[string]odata.Property{
		"signInEventTypes":   {Kind: odata.String, Collection: true, Filter: odata.OpEq},
		"servicePrincipalId": searchedText, "servicePrincipalName": searchedText, "resourceServicePrincipalId": searchedText, "resourceTenantId": searchedText,
		"homeTenantId": searchedText, "clientCredentialType": searchedText, "federatedCredentialId": searchedText,
		"servicePrincipalCredentialKeyId": plainText, "servicePrincipalCredentialThumbprint": plainText, "crossTenantAccessType": searchedText,
		"uniqueTokenIdentifier": searchedText, "userAgent": plainText,
		"managedServiceIdentity": {Kind: odata.Complex, Type: "managedIdentity", Members: map[string]odata.Property{
			"msiType": plainText, "associatedResourceId": plainText, "federatedTokenId": plainText, "federatedTokenIssuer": plainText,
		}},
	} {
		properties[name] = p
	}
	return properties
}

// nobody is what stands where a sign-in has no user.
const nobody = "00000000-0000-0000-0000-000000000000"

// signInEntity is a record as the beta version shows it.
func signInEntity(s *audit.SignIn) entity {
	kind := string(s.Kind)
	user := s.Kind == audit.OperatorSignIn
	if user {
		kind = "interactiveUser"
	}
	credential := "none"
	var federated, identity, key any
	switch {
	case s.Kind == audit.IdentitySignIn:
		credential = "managedIdentity"
		identity = entity{{"msiType", nil}, {"associatedResourceId", orNull(s.Host)}, {"federatedTokenId", nil}, {"federatedTokenIssuer", nil}}
		key = orNull(s.KeyID)
	case !s.CredentialID.IsZero():
		credential, federated = "federatedIdentityCredential", s.CredentialID.String()
	case s.Assertion != "":
		credential = "clientAssertion"
	}
	var principal, principalName, userID, userName any = orNull(s.PrincipalID.String()), orNull(s.ClientName), nobody, ""
	if user {
		principal, principalName, userID = "", nil, s.PrincipalID.String()
		if s.PrincipalID.IsZero() {
			userID = nobody
		}
	}
	crossing := "none"
	if !s.HomeTenant.IsZero() && s.HomeTenant != s.Tenant {
		crossing = "serviceProvider"
	}
	failure, details := any("Other."), any(nil)
	if s.Outcome != audit.Succeeded {
		failure, details = orNull(s.Detail), orNull(s.Reason)
	}
	return entity{
		{"id", s.ID}, {"createdDateTime", moment(s.Time)}, {"userDisplayName", userName}, {"userPrincipalName", userName}, {"userId", userID},
		{"appId", orNull(s.ClientID.String())}, {"appDisplayName", orNull(s.ClientName)}, {"ipAddress", s.Source}, {"clientAppUsed", ""},
		{"userAgent", nil}, {"correlationId", orNull(s.Correlation)}, {"conditionalAccessStatus", "notApplied"}, {"isInteractive", user},
		{"riskDetail", "none"}, {"crossTenantAccessType", crossing}, {"clientCredentialType", credential}, {"federatedCredentialId", federated},
		{"homeTenantId", orNull(s.HomeTenant.String())}, {"managedServiceIdentity", identity}, {"resourceDisplayName", orNull(s.ResourceName)},
		{"resourceId", orNull(s.ResourceID.String())}, {"resourceServicePrincipalId", nil}, {"resourceTenantId", orNull(s.Tenant.String())},
		{"servicePrincipalId", principal}, {"servicePrincipalName", principalName}, {"servicePrincipalCredentialKeyId", key},
		{"servicePrincipalCredentialThumbprint", nil}, {"signInEventTypes", []string{kind}},
		{"status", entity{{"errorCode", s.Code}, {"failureReason", failure}, {"additionalDetails", details}}},
		{"uniqueTokenIdentifier", orNull(s.TokenID)},
	}
}

// of keeps what the schema knows: v1.0 has fewer members.
func (e entity) of(schema *odata.Schema) entity {
	return slices.DeleteFunc(slices.Clone(e), func(p property) bool {
		_, known := schema.Properties[p.name]
		return !known
	})
}

// maxScanned bounds how many records one page looks at when a filter must look
// at them one by one; what follows is behind its link.
const maxScanned = 10000

// narrowRecords turns what the store's indexes answer of a filter into a query;
// the whole filter must still be matched against what it finds.
func (c *call) narrowRecords(when string) audit.Query {
	q := audit.Query{Tenant: c.tenant}
	for _, term := range odata.Conjuncts(c.query.Filter) {
		x, ok := term.(odata.Compare)
		if !ok {
			continue
		}
		switch x.Path.String() {
		case "appId":
			if id, err := directory.ParseClientID(x.Value.String); err == nil && x.Op == odata.OpEq && when == "createdDateTime" {
				q.Client = id.String()
			}
		case when:
			// Reads show times to the second: the whole second is looked at.
			at := x.Value.Time
			if x.Op == odata.OpEq || x.Op == odata.OpGe || x.Op == odata.OpGt {
				if at.After(q.Since) {
					q.Since = at.Truncate(time.Second)
				}
			}
			if x.Op == odata.OpEq || x.Op == odata.OpLe || x.Op == odata.OpLt {
				if end := at.Truncate(time.Second).Add(time.Second); q.Before.IsZero() || end.Before(q.Before) {
					q.Before = end
				}
			}
		}
	}
	return q
}

// listRecords answers a list of records, the newest first.
func listRecords[T any](c *call, when string, read func(audit.Query) ([]T, error), at func(*T) audit.Place, render func(*T) (e entity, ok bool)) error {
	for i, o := range c.query.OrderBy {
		if i > 0 || o.Property.String() != when || !o.Descending {
			return unsupportedQuery("Records come the newest first: sort by '" + when + " desc' or not at all.")
		}
	}
	q := c.narrowRecords(when)
	if _, err := c.open(&q.Behind); err != nil {
		return err
	}
	size := c.pageSize()
	picked := []entity{}
	for scanned := 0; ; {
		q.Limit = min(max(size+1-len(picked), 100), 1000)
		some, err := read(q)
		if err != nil {
			return err
		}
		for i := range some {
			e, ok := render(&some[i])
			if ok {
				if ok, err = odata.Match(c.op.Query, c.query.Filter, e.read); err != nil {
					return err
				}
			}
			if ok && len(picked) == size {
				return c.replyRecords(picked, &q.Behind)
			}
			if ok {
				picked = append(picked, e.of(c.op.Query))
			}
			q.Behind = at(&some[i])
		}
		if len(some) < q.Limit {
			return c.replyRecords(picked, nil)
		}
		if scanned += len(some); scanned >= maxScanned {
			return c.replyRecords(picked, &q.Behind)
		}
	}
}

func (c *call) replyRecords(picked []entity, behind *audit.Place) error {
	next := ""
	if behind != nil {
		var err error
		if next, err = c.nextLink(*behind); err != nil {
			return err
		}
	}
	return c.replyAll(strings.TrimPrefix(c.op.Path, "/"), picked, next, nil)
}

// getRecord finds one record by its id. Ids have no index: it looks at the
// newest ones.
func getRecord[T any](c *call, read func(audit.Query) ([]T, error), at func(*T) audit.Place, render func(*T) (e entity, ok bool)) error {
	_, id := keyOf(c.params[0])
	q := audit.Query{Tenant: c.tenant, Limit: 1000}
	for scanned := 0; scanned < maxScanned; scanned += q.Limit {
		some, err := read(q)
		if err != nil {
			return err
		}
		for i := range some {
			q.Behind = at(&some[i])
			if e, ok := render(&some[i]); ok {
				if own, _ := e.get("id"); own == id {
					path, _, _ := strings.Cut(strings.TrimPrefix(c.op.Path, "/"), "/{")
					return c.reply(http.StatusOK, path, e.of(c.op.Query), "")
				}
			}
		}
		if len(some) < q.Limit {
			break
		}
	}
	return notFound(id)
}

func signInPlace(s *audit.SignIn) audit.Place { return audit.Place{Time: s.Time, ID: s.ID} }

// signIns reads sign-ins once it is decided that the caller may.
func (c *call) signIns(q audit.Query) ([]audit.SignIn, error) {
	return c.api.signIns(c.ctx, q)
}

// listSignIns lists sign-ins. Without a filter for their kind these are those of
// people, as in the real service; v1.0 has no others.
func listSignIns(c *call) error {
	if err := c.api.manage.MayRead(c.ctx, c.caller, c.tenant); err != nil {
		return err
	}
	everyKind := c.version == "beta" && c.query.Filter != nil && strings.Contains(c.query.Filter.String(), "signInEventTypes")
	return listRecords(c, "createdDateTime", c.signIns, signInPlace, func(s *audit.SignIn) (entity, bool) {
		return signInEntity(s), everyKind || s.Kind == audit.OperatorSignIn
	})
}

func getSignIn(c *call) error {
	if err := c.api.manage.MayRead(c.ctx, c.caller, c.tenant); err != nil {
		return err
	}
	return getRecord(c, c.signIns, signInPlace, func(s *audit.SignIn) (entity, bool) {
		return signInEntity(s), c.version == "beta" || s.Kind == audit.OperatorSignIn
	})
}

var auditSchema = odata.Schema{Type: "directoryAudit", Properties: map[string]odata.Property{
	"id": searchedText, "activityDateTime": searchedTime, "activityDisplayName": searchedText, "category": searchedText,
	"additionalDetails": {Kind: odata.Complex, Type: "keyValue", Collection: true, Members: map[string]odata.Property{"key": plainText, "value": plainText}},
	"correlationId":     searchedID, "loggedByService": searchedText, "operationType": searchedText, "result": searchedText, "resultReason": plainText,
	"initiatedBy": {Kind: odata.Complex, Type: "auditActivityInitiator", Members: map[string]odata.Property{
		"user": {Kind: odata.Complex, Type: "userIdentity", Members: map[string]odata.Property{
			"id": searchedText, "displayName": searchedText, "userPrincipalName": searchedText, "ipAddress": plainText,
		}},
		"app": {Kind: odata.Complex, Type: "appIdentity", Members: map[string]odata.Property{
			"appId": searchedText, "displayName": searchedText, "servicePrincipalId": searchedText, "servicePrincipalName": plainText,
		}},
	}},
	"targetResources": {Kind: odata.Complex, Type: "targetResource", Collection: true, Members: map[string]odata.Property{
		"id": searchedText, "displayName": searchedText, "type": searchedText, "userPrincipalName": plainText, "groupType": plainText,
		"modifiedProperties": {Kind: odata.Complex, Type: "modifiedProperty", Collection: true, Members: map[string]odata.Property{
			"displayName": plainText, "oldValue": plainText, "newValue": plainText,
		}},
	}},
}}

// activity is how the real service calls a change (reference/graph.md, 11.2).
type activity struct {
	category string
	target   string // type of the target
	verbs    map[string]string
	property string // the part of the target that changed; "" where it is the target itself
}

func verbs(create, update, remove string) map[string]string {
	return map[string]string{"create": create, "update": update, "delete": remove}
}

const (
	applicationManagement = "ApplicationManagement"
	groupManagement       = "GroupManagement"
	withSecrets           = "Update application – Certificates and secrets management " // the blank at its end is the real service's
)

// activities are by the kind of what was changed. What the directory of the real
// service does not keep records of, such as resource groups, is not listed.
var activities = map[string]activity{
	"application":                 {applicationManagement, "Application", map[string]string{"create": "Add application", "update": "Update application", "delete": "Delete application", "restore": "Restore application"}, ""},
	"federatedIdentityCredential": {applicationManagement, "Application", verbs("Update application", "Update application", "Update application"), "FederatedIdentityCredentials"},
	"keyCredential":               {applicationManagement, "Application", verbs(withSecrets, withSecrets, withSecrets), "KeyDescription"},
	"servicePrincipal":            {applicationManagement, "ServicePrincipal", verbs("Add service principal", "Update service principal", "Remove service principal"), ""},
	"managedIdentity":             {applicationManagement, "ServicePrincipal", verbs("Add service principal", "Update service principal", "Remove service principal"), ""},
	"deletedItem":                 {applicationManagement, "Application", map[string]string{"delete": "Hard Delete application", "restore": "Restore application"}, ""},
	"appRoleAssignment":           {applicationManagement, "ServicePrincipal", verbs("Add app role assignment to service principal", "", "Remove app role assignment from service principal"), ""},
	"permissionGrant":             {applicationManagement, "ServicePrincipal", verbs("Add delegated permission grant", "Update delegated permission grant", "Remove delegated permission grant"), ""},
	"applicationOwner":            {applicationManagement, "Application", verbs("Add owner to application", "", "Remove owner from application"), ""},
	"servicePrincipalOwner":       {applicationManagement, "ServicePrincipal", verbs("Add owner to service principal", "", "Remove owner from service principal"), ""},
	"user":                        {"UserManagement", "User", verbs("Add user", "Update user", "Delete user"), ""},
	"group":                       {groupManagement, "Group", verbs("Add group", "Update group", "Delete group"), ""},
	"groupMember":                 {groupManagement, "Group", verbs("Add member to group", "", "Remove member from group"), ""},
	"groupOwner":                  {groupManagement, "Group", verbs("Add owner to group", "", "Remove owner from group"), ""},
	"directoryRoleAssignment":     {"RoleManagement", "Role", verbs("Add member to role", "", "Remove member from role"), ""},
	"tenant":                      {"DirectoryManagement", "Directory", verbs("Create company", "Update company", "Delete company"), ""},
}

// auditEntity is a change as the real service would have recorded it; ok is
// false for one that it keeps elsewhere.
func auditEntity(r *audit.Change) (e entity, ok bool) {
	kind, ok := activities[r.Target.Kind]
	if !ok {
		return nil, false
	}
	name := kind.verbs[r.Action]
	if name == "" {
		name = r.Action + " " + r.Target.Kind
	}
	operation := map[string]string{"create": "Add", "update": "Update", "delete": "Delete"}[r.Action]
	if operation == "" {
		operation = r.Action
	}
	result, reason := "success", ""
	if r.Outcome != audit.Succeeded {
		result, reason = "failure", r.Detail
	}
	var user, app any
	switch r.Actor.Kind {
	case "user", "localUser":
		var id any // the platform's own user has no object
		if r.Actor.Kind == "user" {
			id = orNull(r.Actor.ID)
		}
		user = entity{{"id", id}, {"displayName", nil}, {"userPrincipalName", orNull(r.Actor.Name)}, {"ipAddress", nil}}
	default:
		app = entity{{"appId", nil}, {"displayName", orNull(r.Actor.Name)}, {"servicePrincipalId", orNull(r.Actor.ID)}, {"servicePrincipalName", nil}}
	}
	target := entity{
		{"id", orNull(r.Target.ID)}, {"displayName", orNull(r.Target.Name)}, {"type", kind.target}, {"userPrincipalName", nil}, {"groupType", nil},
		{"modifiedProperties", modified(r, kind.property)},
	}
	if r.Target.Parent != "" {
		target = target.with("id", r.Target.Parent)
	}
	if kind.target == "Group" {
		target = target.with("groupType", "unknownFutureValue")
	}
	return entity{
		{"id", r.ID}, {"category", kind.category}, {"correlationId", orNull(r.Correlation)}, {"result", result}, {"resultReason", reason},
		{"activityDisplayName", name}, {"activityDateTime", moment(r.Time)}, {"loggedByService", "Core Directory"}, {"operationType", operation},
		{"initiatedBy", entity{{"user", user}, {"app", app}}}, {"targetResources", []entity{target}}, {"additionalDetails", []entity{}},
	}, true
}

// modified lists what changed, values being JSON texts. A part of an object is
// one property of it: a list with what was and what is.
func modified(r *audit.Change, part string) []entity {
	changes := []entity{}
	var names []string
	add := func(name, before, after string) {
		changes = append(changes, entity{{"displayName", name}, {"oldValue", before}, {"newValue", after}})
		names = append(names, name)
	}
	if part != "" {
		add(part, listOf(r.Before), listOf(r.After))
	} else {
		var before, after map[string]json.RawMessage
		// A record is ours; what is none has no properties to show.
		_ = json.Unmarshal(orObjectJSON(r.Before), &before)
		_ = json.Unmarshal(orObjectJSON(r.After), &after)
		all := make(map[string]bool)
		for name := range before {
			all[name] = true
		}
		for name := range after {
			all[name] = true
		}
		for _, name := range sortedNames(all) {
			if !bytes.Equal(before[name], after[name]) {
				add(name, listOf(before[name]), listOf(after[name]))
			}
		}
	}
	if len(names) == 0 {
		return changes
	}
	included, err := json.Marshal(strings.Join(names, ", "))
	if err != nil {
		return changes
	}
	return append(changes, entity{{"displayName", "Included Updated Properties"}, {"oldValue", nil}, {"newValue", string(included)}})
}

func orObjectJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

// listOf is a value in a list, as JSON text.
func listOf(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "[]"
	}
	return "[" + string(raw) + "]"
}

func sortedNames(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func changePlace(r *audit.Change) audit.Place {
	return audit.Place{Time: r.Time, Sequence: r.Sequence}
}

func (c *call) changes(q audit.Query) ([]audit.Change, error) {
	return c.api.changes(c.ctx, q)
}

func listAudits(c *call) error {
	if err := c.api.manage.MayRead(c.ctx, c.caller, c.tenant); err != nil {
		return err
	}
	return listRecords(c, "activityDateTime", c.changes, changePlace, auditEntity)
}

func getAudit(c *call) error {
	if err := c.api.manage.MayRead(c.ctx, c.caller, c.tenant); err != nil {
		return err
	}
	return getRecord(c, c.changes, changePlace, auditEntity)
}
