package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

// A row type holds the columns of one table as the engine gives them. Its
// decode method checks every one; what does not decode is not written either.

// checker turns columns into typed values and keeps the first fault.
type checker struct {
	table string
	key   []string
	err   error
}

func (c *checker) fail(column string, value any, want string) {
	if c.err != nil {
		return
	}
	text := fmt.Sprint(value)
	if len(text) > 64 {
		text = text[:64] + "…"
	}
	c.err = fmt.Errorf("store: table %s, key %s: column %s holds %q, which is not %s", c.table, strings.Join(c.key, "/"), column, text, want)
}

type guid interface {
	comparable
	String() string
}

func parseGUID[T guid](c *checker, column, value string, parse func(string) (T, error)) T {
	parsed, err := parse(value)
	if err != nil || parsed.String() != value {
		c.fail(column, value, "a lower-case GUID")
		var none T
		return none
	}
	return parsed
}

func (c *checker) tenant(column, value string) directory.TenantID {
	return parseGUID(c, column, value, directory.ParseTenantID)
}

func (c *checker) object(column, value string) directory.ObjectID {
	return parseGUID(c, column, value, directory.ParseObjectID)
}

func (c *checker) client(column, value string) directory.ClientID {
	return parseGUID(c, column, value, directory.ParseClientID)
}

// optional is object for ids that may be unset.
func (c *checker) optional(column, value string) directory.ObjectID {
	if value == "" {
		return directory.ObjectID{}
	}
	return c.object(column, value)
}

func (c *checker) flag(column string, value int64) bool {
	if value != 0 && value != 1 {
		c.fail(column, value, "0 or 1")
	}
	return value == 1
}

func word[T ~string](c *checker, column, value string, known ...T) T {
	if !slices.Contains(known, T(value)) {
		c.fail(column, value, fmt.Sprintf("one of %q", known))
	}
	return T(value)
}

// key checks a column that repeats another one in lower case.
func (c *checker) folded(column, value, of string) {
	if value != strings.ToLower(of) {
		c.fail(column, value, "the lower-case form of "+of)
	}
}

// fold is the form of names that are compared without case.
func fold(s string) string { return strings.ToLower(s) }

// micros and sinceEpoch keep times that may not be known: 0 is the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func sinceEpoch(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return fromMicros(micros)
}

func fromJSON[T any](c *checker, column, text string, to *T) {
	if text == "[]" || text == "{}" {
		return
	}
	if err := json.Unmarshal([]byte(text), to); err != nil {
		c.fail(column, text, "JSON of its kind")
	}
}

func list[T any](values []T) (string, error) {
	if len(values) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("store: encoding a list: %w", err)
	}
	return string(text), nil
}

func encodeKept(k directory.Kept) (string, error) {
	if len(k) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("store: encoding what is kept for clients: %w", err)
	}
	return string(text), nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

type tenantRow struct{ tenant, name, nameKey, displayName, subscription string }

func (r tenantRow) decode() (directory.Tenant, error) {
	c := checker{table: "tenants", key: []string{r.tenant}}
	t := directory.Tenant{
		ID: c.tenant("tenant_id", r.tenant), Name: r.name, DisplayName: r.displayName,
		Subscription: c.object("subscription_id", r.subscription),
	}
	c.folded("name_key", r.nameKey, r.name)
	return t, c.err
}

func encodeTenant(t *directory.Tenant) (tenantRow, error) {
	r := tenantRow{t.ID.String(), t.Name, strings.ToLower(t.Name), t.DisplayName, t.Subscription.String()}
	_, err := r.decode()
	return r, err
}

type clientRow struct{ client, tenant, kind, object string }

// clientRef is where a client id leads.
type clientRef struct {
	tenant directory.TenantID
	kind   directory.PrincipalKind
	object directory.ObjectID
}

func (r clientRow) decode() (clientRef, error) {
	c := checker{table: "client_ids", key: []string{r.client}}
	c.client("client_id", r.client)
	ref := clientRef{
		tenant: c.tenant("tenant_id", r.tenant),
		kind:   word(&c, "kind", r.kind, directory.ApplicationPrincipal, directory.IdentityPrincipal),
		object: c.object("object_id", r.object),
	}
	return ref, c.err
}

type applicationRow struct {
	tenant, object, client, name, nameKey, unique, audience string
	tokenVersion, disabled, created                         int64
	scopes, keys, kept                                      string
}

func (r applicationRow) decode() (directory.Application, error) {
	c := checker{table: "applications", key: []string{r.tenant, r.object}}
	a := directory.Application{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("object_id", r.object), ClientID: c.client("client_id", r.client),
		Name: r.name, UniqueName: r.unique, Audience: directory.Audience(r.audience),
		TokenVersion: directory.TokenVersion(r.tokenVersion), Disabled: c.flag("disabled", r.disabled),
		Created: sinceEpoch(r.created),
	}
	if _, ok := directory.ParseAudience(r.audience); !ok {
		c.fail("audience", r.audience, "a sign-in audience")
	}
	if r.tokenVersion < 0 || r.tokenVersion > int64(directory.V2) {
		c.fail("token_version", r.tokenVersion, "0, 1 or 2")
	}
	fromJSON(&c, "scopes", r.scopes, &a.Scopes)
	fromJSON(&c, "keys", r.keys, &a.Keys)
	fromJSON(&c, "kept", r.kept, &a.Kept)
	return a, c.err
}

func encodeApplication(a *directory.Application) (applicationRow, error) {
	r := applicationRow{
		tenant: a.Tenant.String(), object: a.ID.String(), client: a.ClientID.String(),
		name: a.Name, nameKey: fold(a.Name), unique: a.UniqueName, audience: string(a.Audience),
		tokenVersion: int64(a.TokenVersion), disabled: flag(a.Disabled), created: micros(a.Created),
	}
	var err error
	if r.scopes, err = list(a.Scopes); err != nil {
		return r, err
	}
	if r.keys, err = list(a.Keys); err != nil {
		return r, err
	}
	if r.kept, err = encodeKept(a.Kept); err != nil {
		return r, err
	}
	_, err = r.decode()
	return r, err
}

type roleRow struct {
	tenant, application, role       string
	value, displayName, description string
	disabled                        int64
	members                         string
}

func (r roleRow) decode() (directory.AppRole, error) {
	c := checker{table: "app_roles", key: []string{r.tenant, r.application, r.role}}
	a := directory.AppRole{
		ID: c.object("role_id", r.role), Value: r.value, DisplayName: r.displayName,
		Description: r.description, Disabled: c.flag("disabled", r.disabled),
	}
	fromJSON(&c, "members", r.members, &a.Members)
	return a, c.err
}

type principalRow struct {
	tenant, object, client, kind, name, home string
	assignmentRequired, disabled, created    int64
	kept                                     string
}

func (r principalRow) decode() (directory.ServicePrincipal, error) {
	c := checker{table: "service_principals", key: []string{r.tenant, r.object}}
	p := directory.ServicePrincipal{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("object_id", r.object), ClientID: c.client("client_id", r.client),
		Kind: word(&c, "kind", r.kind, directory.ApplicationPrincipal, directory.IdentityPrincipal),
		Name: r.name, HomeTenant: c.tenant("home_tenant_id", r.home),
		AssignmentRequired: c.flag("assignment_required", r.assignmentRequired), Disabled: c.flag("disabled", r.disabled),
		Created: sinceEpoch(r.created),
	}
	fromJSON(&c, "kept", r.kept, &p.Kept)
	return p, c.err
}

func encodePrincipal(p *directory.ServicePrincipal) (principalRow, error) {
	r := principalRow{
		p.Tenant.String(), p.ID.String(), p.ClientID.String(), string(p.Kind), p.Name, p.HomeTenant.String(),
		flag(p.AssignmentRequired), flag(p.Disabled), micros(p.Created), "",
	}
	var err error
	if r.kept, err = encodeKept(p.Kept); err != nil {
		return r, err
	}
	_, err = r.decode()
	return r, err
}

type identityRow struct {
	tenant, principal, client, kind string
	name, nameKey, group, groupKey  string
	location, host, resource        string
	disabled                        int64
	kept                            string
}

func (r identityRow) decode() (directory.ManagedIdentity, error) {
	c := checker{table: "managed_identities", key: []string{r.tenant, r.principal}}
	m := directory.ManagedIdentity{
		Tenant: c.tenant("tenant_id", r.tenant), PrincipalID: c.object("principal_id", r.principal), ClientID: c.client("client_id", r.client),
		Kind: word(&c, "kind", r.kind, directory.UserAssigned, directory.SystemAssigned),
		Name: r.name, ResourceGroup: r.group, Location: r.location, Host: c.optional("host_id", r.host),
		ResourceID: r.resource, Disabled: c.flag("disabled", r.disabled),
	}
	c.folded("name_key", r.nameKey, r.name)
	c.folded("group_key", r.groupKey, r.group)
	fromJSON(&c, "kept", r.kept, &m.Kept)
	return m, c.err
}

func encodeIdentity(m *directory.ManagedIdentity) (identityRow, error) {
	r := identityRow{
		m.Tenant.String(), m.PrincipalID.String(), m.ClientID.String(), string(m.Kind),
		m.Name, strings.ToLower(m.Name), m.ResourceGroup, strings.ToLower(m.ResourceGroup),
		m.Location, m.Host.String(), m.ResourceID, flag(m.Disabled), "",
	}
	var err error
	if r.kept, err = encodeKept(m.Kept); err != nil {
		return r, err
	}
	_, err = r.decode()
	return r, err
}

type hostRow struct{ tenant, object, name, kind, group, location, resource, system, kept string }

func (r hostRow) decode() (directory.Host, error) {
	c := checker{table: "hosts", key: []string{r.tenant, r.object}}
	h := directory.Host{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("object_id", r.object), Name: r.name,
		Kind:          word(&c, "kind", r.kind, directory.VirtualMachine, directory.WebApp),
		ResourceGroup: r.group, Location: r.location, ResourceID: r.resource, System: c.optional("system_id", r.system),
	}
	fromJSON(&c, "kept", r.kept, &h.Kept)
	return h, c.err
}

func encodeHost(h *directory.Host) (hostRow, error) {
	r := hostRow{
		h.Tenant.String(), h.ID.String(), h.Name, string(h.Kind), h.ResourceGroup, h.Location, h.ResourceID, h.System.String(), "",
	}
	var err error
	if r.kept, err = encodeKept(h.Kept); err != nil {
		return r, err
	}
	_, err = r.decode()
	return r, err
}

type credentialRow struct{ tenant, parent, credential, name, issuer, subject, audience, description string }

func (r credentialRow) decode() (directory.FederatedCredential, error) {
	c := checker{table: "federated_credentials", key: []string{r.tenant, r.parent, r.credential}}
	c.tenant("tenant_id", r.tenant)
	c.object("parent_id", r.parent)
	f := directory.FederatedCredential{
		ID: c.object("credential_id", r.credential), Name: r.name, Issuer: r.issuer, Subject: r.subject,
		Audience: r.audience, Description: r.description,
	}
	return f, c.err
}

func encodeCredential(t directory.TenantID, parent directory.ObjectID, f *directory.FederatedCredential) (credentialRow, error) {
	r := credentialRow{t.String(), parent.String(), f.ID.String(), f.Name, f.Issuer, f.Subject, f.Audience, f.Description}
	_, err := r.decode()
	return r, err
}

type assignmentRow struct {
	tenant, assignment, principal, resource, role string
	created                                       int64
}

func (r assignmentRow) decode() (directory.AppRoleAssignment, error) {
	c := checker{table: "app_role_assignments", key: []string{r.tenant, r.assignment}}
	a := directory.AppRoleAssignment{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("assignment_id", r.assignment),
		Principal: c.object("principal_id", r.principal), Resource: c.object("resource_id", r.resource),
		Role: c.object("role_id", r.role), Created: fromMicros(r.created),
	}
	return a, c.err
}

func encodeAssignment(a *directory.AppRoleAssignment) (assignmentRow, error) {
	r := assignmentRow{
		a.Tenant.String(), a.ID.String(), a.Principal.String(), a.Resource.String(), a.Role.String(), a.Created.UnixMicro(),
	}
	_, err := r.decode()
	return r, err
}

// owned is a row of a table that belongs to another: which object it is of, and
// what it says.
type owned[V any] struct {
	owner directory.ObjectID
	value V
}

func readOwnedString(table string) func(scanner) (owned[string], error) {
	return func(s scanner) (owned[string], error) {
		var owner, value string
		if err := s.Scan(&owner, &value); err != nil {
			return owned[string]{}, fmt.Errorf("store: table %s: %w", table, err)
		}
		c := checker{table: table, key: []string{owner}}
		return owned[string]{c.object("owner", owner), value}, c.err
	}
}

// grouped gathers owned rows by owner, in their order.
func grouped[V any](rows []owned[V]) map[directory.ObjectID][]V {
	m := make(map[directory.ObjectID][]V)
	for _, r := range rows {
		m[r.owner] = append(m[r.owner], r.value)
	}
	return m
}
