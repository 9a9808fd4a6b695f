package manage

import (
	"context"
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/trust"
)

const credentialKind = "federatedIdentityCredential"

// parent is what a federated identity credential belongs to: an application or
// a user-assigned managed identity.
type parent struct {
	tenant directory.TenantID
	id     directory.ObjectID
	kind   string // "application" or "managedIdentity"
	name   string // contoso/orders
}

// writtenCredential waits for the end of the change to be judged, when
// everything that its subject may name exists.
type writtenCredential struct {
	parent     parent
	credential directory.FederatedCredential
	node       config.Node // where a file states it
}

func credentialFields(c *directory.FederatedCredential) []field {
	return []field{
		textField("id", c.ID.String()),
		textField("name", c.Name),
		textField("issuer", c.Issuer),
		textField("subject", c.Subject),
		{"audiences", []string{c.Audience}, c.Audience},
		textField("description", c.Description),
	}
}

func (p parent) target(c *directory.FederatedCredential) audit.Target {
	return audit.Target{Kind: credentialKind, ID: c.ID.String(), Name: p.name + "/" + c.Name, Parent: p.id.String()}
}

// credentialParent finds the application or user-assigned identity with the id.
func (w *writer) credentialParent(t directory.TenantID, id directory.ObjectID) (parent, error) {
	app, err := found(w.tx.Application(t, id))
	if err != nil {
		return parent{}, fmt.Errorf("finding application: %w", err)
	}
	if app != nil {
		return parent{t, id, "application", w.name(t, app.Name)}, nil
	}
	m, err := found(w.tx.Identity(t, id))
	if err != nil {
		return parent{}, fmt.Errorf("finding managed identity: %w", err)
	}
	switch {
	case m == nil:
		return parent{}, problem.Newf(problem.NotFound, "", "no application and no user-assigned managed identity has the object id %s in this tenant", id)
	case m.Kind != directory.UserAssigned:
		return parent{}, problem.Newf(problem.Invalid, "", "%s is a system-assigned identity, which cannot hold federated identity credentials; use a user-assigned one", m.Name)
	}
	return parent{t, id, "managedIdentity", w.name(t, m.Name)}, nil
}

// validCredential checks the credential's shape, and it against the others of
// its parent.
func (w *writer) validCredential(p parent, c *directory.FederatedCredential) error {
	if err := c.Validate(); err != nil {
		return err
	}
	others, err := w.tx.Credentials(p.tenant, p.id)
	if err != nil {
		return fmt.Errorf("reading credentials: %w", err)
	}
	count := 0
	for _, o := range others {
		if o.ID == c.ID {
			continue
		}
		count++
		if o.Name == c.Name {
			return problem.Newf(problem.Conflict, "name", "%s has a credential named %s already; names are unique on their parent", p.name, c.Name)
		}
		if o.Issuer == c.Issuer && o.Subject == c.Subject {
			return problem.Newf(problem.Conflict, "subject", "credential %s of %s has the same issuer and subject; the pair is unique on its parent, so change or delete that one", o.Name, p.name)
		}
	}
	if count >= directory.MaxCredentials {
		return problem.Newf(problem.Limit, "", "%s holds %d federated identity credentials, which is the most that one object may hold; delete one first", p.name, count)
	}
	return nil
}

func (w *writer) createCredential(p parent, c *directory.FederatedCredential, node config.Node) error {
	if err := w.validCredential(p, c); err != nil {
		return err
	}
	if err := w.mayLend(p); err != nil {
		return err
	}
	if err := w.tx.InsertCredential(p.tenant, p.id, c); err != nil {
		return conflict(err, "credential", c.Name)
	}
	w.written = append(w.written, writtenCredential{p, *c, node})
	return w.record(change{op: Create, tenant: p.tenant, high: true, target: p.target(c), after: credentialFields(c)})
}

func (w *writer) updateCredential(p parent, before, after *directory.FederatedCredential, node config.Node) error {
	if before.Name != after.Name {
		return problem.Newf(problem.Invalid, "name", "cannot be changed from %s to %s: a credential's name is immutable; delete it and make a new one", before.Name, after.Name)
	}
	if err := w.validCredential(p, after); err != nil {
		return err
	}
	w.written = append(w.written, writtenCredential{p, *after, node})
	if *before == *after {
		return nil
	}
	if err := w.mayLend(p); err != nil {
		return err
	}
	if err := w.tx.UpdateCredential(p.tenant, p.id, after); err != nil {
		return conflict(err, "credential", after.Name)
	}
	return w.record(change{
		op: Update, tenant: p.tenant, high: true, target: p.target(after),
		before: credentialFields(before), after: credentialFields(after),
	})
}

func (w *writer) deleteCredential(p parent, c *directory.FederatedCredential) error {
	if err := w.tx.DeleteCredential(p.tenant, p.id, c.ID); err != nil {
		return fmt.Errorf("deleting a credential: %w", err)
	}
	return w.record(change{op: Delete, tenant: p.tenant, high: true, target: p.target(c), before: credentialFields(c)})
}

// deleteCredentials deletes every credential of a parent that is about to go,
// one by one, so that each is recorded.
func (w *writer) deleteCredentials(p parent) error {
	all, err := w.tx.Credentials(p.tenant, p.id)
	if err != nil {
		return fmt.Errorf("reading credentials: %w", err)
	}
	for i := range all {
		if err := w.deleteCredential(p, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

// lint judges every credential that was written or confirmed, now that the
// rest of the change stands.
func (w *writer) lint() error {
	for _, written := range w.written {
		p, c := written.parent, written.credential
		facts, err := w.lintFacts(p, c.Subject)
		if err != nil {
			return err
		}
		for _, f := range trust.LintCredential(c, facts) {
			warning := Warning{Target: p.target(&c), Field: f.Field, Message: f.Message, Mend: f.Mend}
			if !written.node.Pos.IsZero() {
				warning.Where = written.node.At(f.Field).String()
			}
			w.plan.Warnings = append(w.plan.Warnings, warning)
		}
	}
	return nil
}

// lintFacts looks up, in the parent's tenant only, what a subject may have been
// meant to name.
func (w *writer) lintFacts(p parent, subject string) (trust.LintFacts, error) {
	facts := trust.LintFacts{Cloud: w.cloud, Tenant: p.tenant, OnIdentity: p.kind == "managedIdentity"}
	var err error
	if facts.Siblings, err = w.tx.Credentials(p.tenant, p.id); err != nil {
		return facts, fmt.Errorf("reading credentials: %w", err)
	}
	subject = strings.TrimSpace(subject)
	if facts.Identity, err = w.identityMeant(p.tenant, subject); err != nil {
		return facts, fmt.Errorf("finding managed identity: %w", err)
	}
	if facts.Identity != nil {
		return facts, nil
	}
	id, err := directory.ParseObjectID(subject)
	if err != nil {
		return facts, nil
	}
	if facts.Application, err = found(w.tx.Application(p.tenant, id)); err != nil {
		return facts, fmt.Errorf("finding application: %w", err)
	}
	if facts.Application == nil {
		client, err := directory.ParseClientID(subject)
		if err != nil {
			return facts, nil
		}
		app, err := found(w.tx.ApplicationByClientID(client))
		if err != nil {
			return facts, fmt.Errorf("finding application: %w", err)
		}
		if app != nil && app.Tenant == p.tenant {
			facts.Application = app
		}
	}
	if facts.Principal, err = found(w.tx.Principal(p.tenant, id)); err != nil {
		return facts, fmt.Errorf("finding service principal: %w", err)
	}
	return facts, nil
}

// identityMeant finds the managed identity that a subject names by one of the
// things that people write for it. What is right (the principal id) wins.
func (w *writer) identityMeant(t directory.TenantID, subject string) (*directory.ManagedIdentity, error) {
	identity := func(principal directory.ObjectID) (*directory.ManagedIdentity, error) {
		return found(w.tx.Identity(t, principal))
	}
	if id, err := directory.ParseObjectID(subject); err == nil {
		m, err := identity(id)
		if m != nil || err != nil {
			return m, err
		}
	}
	if id, err := directory.ParseClientID(subject); err == nil {
		p, err := found(w.tx.PrincipalByClientID(t, id))
		if p == nil || err != nil {
			return nil, err
		}
		return identity(p.ID)
	}
	name := subject
	parts := strings.Split(subject, "/")
	whole := len(parts) == 9 // /subscriptions/{}/resourcegroups/{}/providers/{}/{}/{}
	if whole {
		name = parts[8]
		m, err := found(w.tx.IdentityIn(t, parts[4], name))
		if err != nil || m != nil && strings.EqualFold(m.ResourceID, subject) {
			return m, err
		}
	}
	if !whole {
		named, err := w.tx.IdentitiesNamed(t, name)
		if err != nil {
			return nil, err
		}
		if len(named) > 0 {
			return &named[len(named)-1], nil
		}
	}
	h, err := found(w.tx.HostByName(t, name))
	if err != nil || h == nil || h.System.IsZero() || whole && !strings.EqualFold(h.ResourceID, subject) {
		return nil, err
	}
	return identity(h.System)
}

// CredentialUpdate says which fields of a credential to change; nil leaves a
// field as it is. Name is there to be refused when it differs.
type CredentialUpdate struct {
	Name        *string
	Issuer      *string
	Subject     *string
	Audience    *string
	Description *string
}

// CreateFederatedCredential adds a credential to an application (by object id)
// or to a user-assigned managed identity (by principal id). Its ID must be
// zero; the credential is returned with the id it got. Wrong values are stored
// and warned of, wrong shapes refused (Invalid); so are a name, or a pair of
// issuer and subject, that the parent has already (Conflict), a twenty-first
// credential (Limit) and an unknown parent (NotFound). All rules are checked
// inside the writing transaction and hold under concurrency.
func (s *Service) CreateFederatedCredential(ctx context.Context, caller Caller, t directory.TenantID, parentID directory.ObjectID, c directory.FederatedCredential) (*directory.FederatedCredential, []Warning, error) {
	offered := c
	plan, err := s.change(ctx, credentialAttempt(Create, t, parentID, offered.ID, offered.Name), false, caller, func(w *writer) error {
		if !offered.ID.IsZero() {
			return problem.Newf(problem.Invalid, "id", "is given by the platform and cannot be chosen")
		}
		p, err := w.credentialParent(t, parentID)
		if err != nil {
			return err
		}
		c = offered
		c.ID = w.newObjectID()
		return w.createCredential(p, &c, config.Node{})
	})
	if err != nil {
		return nil, nil, err
	}
	return &c, plan.Warnings, nil
}

// UpdateFederatedCredential changes a credential and returns it as it now is.
// The refusals are those of CreateFederatedCredential; the name is immutable.
// An update that changes nothing is no change and leaves no record.
func (s *Service) UpdateFederatedCredential(ctx context.Context, caller Caller, t directory.TenantID, parentID, credential directory.ObjectID, u CredentialUpdate) (*directory.FederatedCredential, []Warning, error) {
	var after directory.FederatedCredential
	plan, err := s.change(ctx, credentialAttempt(Update, t, parentID, credential, ""), false, caller, func(w *writer) error {
		p, before, err := w.credential(t, parentID, credential)
		if err != nil {
			return err
		}
		after = *before
		for _, f := range []struct{ to, from *string }{
			{&after.Name, u.Name}, {&after.Issuer, u.Issuer}, {&after.Subject, u.Subject}, {&after.Audience, u.Audience}, {&after.Description, u.Description},
		} {
			if f.from != nil {
				*f.to = *f.from
			}
		}
		return w.updateCredential(p, before, &after, config.Node{})
	})
	if err != nil {
		return nil, nil, err
	}
	return &after, plan.Warnings, nil
}

// DeleteFederatedCredential removes a credential; NotFound when there is none.
func (s *Service) DeleteFederatedCredential(ctx context.Context, caller Caller, t directory.TenantID, parentID, credential directory.ObjectID) error {
	_, err := s.change(ctx, credentialAttempt(Delete, t, parentID, credential, ""), false, caller, func(w *writer) error {
		p, c, err := w.credential(t, parentID, credential)
		if err != nil {
			return err
		}
		return w.deleteCredential(p, c)
	})
	return err
}

// FederatedCredentials lists the credentials of an application or a
// user-assigned managed identity by name.
func (s *Service) FederatedCredentials(ctx context.Context, t directory.TenantID, parentID directory.ObjectID) ([]directory.FederatedCredential, error) {
	var all []directory.FederatedCredential
	err := s.view(ctx, func(w *writer) error {
		p, err := w.credentialParent(t, parentID)
		if err != nil {
			return err
		}
		all, err = w.tx.Credentials(p.tenant, p.id)
		return err
	})
	return all, err
}

func (w *writer) credential(t directory.TenantID, parentID, id directory.ObjectID) (parent, *directory.FederatedCredential, error) {
	p, err := w.credentialParent(t, parentID)
	if err != nil {
		return parent{}, nil, err
	}
	all, err := w.tx.Credentials(t, parentID)
	if err != nil {
		return parent{}, nil, fmt.Errorf("reading credentials: %w", err)
	}
	for i := range all {
		if all[i].ID == id {
			return p, &all[i], nil
		}
	}
	return parent{}, nil, problem.Newf(problem.NotFound, "", "%s has no federated identity credential with the id %s", p.name, id)
}

// credentialAttempt is how a refused write of a credential is recorded.
func credentialAttempt(op Op, t directory.TenantID, parentID, id directory.ObjectID, name string) audit.Change {
	if name == "" {
		name = id.String()
	}
	return audit.Change{
		Tenant: t, Action: string(op), High: true,
		Target: audit.Target{Kind: credentialKind, ID: id.String(), Name: parentID.String() + "/" + name},
	}
}

// near is DidYouMean, but never suggests what was asked for.
func near(word string, known []string) string {
	var others []string
	for _, k := range known {
		if k != word {
			others = append(others, k)
		}
	}
	return config.DidYouMean(word, others)
}
