// Package manage is the story of a change. Every write to the directory, from
// whichever API, command, file or page it comes, goes through a Service: it
// checks the rules that hold between objects inside the writing transaction,
// writes, and appends the audit record in the same transaction. What is refused
// is recorded too, in a transaction of its own.
//
// Each rule stands in one place: Apply and the single writes call the same
// functions of the writer.
package manage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Service changes the directory and reads it for people. All methods may be
// called concurrently. Errors that callers may see have a *problem.Error in
// their chain; anything else is a fault whose text stays inside.
type Service struct {
	store Store
	cloud *directory.Cloud
	now   func() time.Time
	log   *slog.Logger

	climbing bool // see AllowClimbing

	mu      sync.Mutex
	changed chan struct{}
}

// New makes a Service on the store. The cloud gives the issuer and audience of
// managed identities and the first-party resources of new tenants.
func New(store Store, cloud *directory.Cloud, now func() time.Time, log *slog.Logger) *Service {
	return &Service{store: store, cloud: cloud, now: now, log: log, changed: make(chan struct{})}
}

// AllowClimbing lets callers add credentials to applications that hold rights
// which the callers could not grant, as the real service does. It is for
// platforms that want that parity, and is called before the first request.
func (s *Service) AllowClimbing() { s.climbing = true }

// Changed returns a channel that is closed after the next acknowledged change.
// Take the channel first, then read the directory, then wait: no change is
// missed that way.
func (s *Service) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Service) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// errDryRun rolls a dry run back.
var errDryRun = errors.New("dry run")

// change runs fn in one writing transaction and returns what it did. The
// attempt tells how to record it should it be refused; a dry run leaves no
// trace at all.
func (s *Service) change(ctx context.Context, attempt audit.Change, dryRun bool, caller Caller, fn func(*writer) error) (*Plan, error) {
	var w *writer
	err := s.store.Change(ctx, func(tx Tx) error {
		w = newWriter(tx, s.cloud, s.now(), caller)
		w.climbing = s.climbing
		if err := fn(w); err != nil {
			return err
		}
		if caller.Access != nil && !w.decided {
			return errUnauthorized
		}
		if err := w.lint(); err != nil {
			return err
		}
		if dryRun {
			return errDryRun
		}
		return nil
	})
	switch {
	case dryRun && errors.Is(err, errDryRun):
		w.plan.DryRun = true
		w.hideGenerated()
		return &w.plan, nil
	case err != nil:
		if !dryRun {
			s.recordRefusal(ctx, attempt, caller, err)
		}
		return nil, err
	}
	if !w.plan.Empty() {
		s.announce()
	}
	return &w.plan, nil
}

// recordRefusal keeps the record of a change that was not made. It outlives
// the request: a caller that hangs up does not keep its attempt out of the log.
func (s *Service) recordRefusal(ctx context.Context, c audit.Change, caller Caller, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	c.ID = directory.NewObjectID().String()
	c.Time = s.now()
	c.Actor, c.Correlation = caller.Actor, caller.Correlation
	if caller.Access != nil {
		c.Tenant = caller.Access.Tenant // the record belongs to who tried
	}
	c.Target.Name = audit.Clip(c.Target.Name)
	c.Outcome, c.Detail = audit.Failed, "internal error"
	if p := (*problem.Error)(nil); errors.As(cause, &p) && p.Kind != problem.Internal {
		c.Detail = audit.Clip(p.Public())
		if p.Kind != problem.Unavailable {
			c.Outcome = audit.Refused
		}
	}
	err := s.store.Change(ctx, func(tx Tx) error {
		if !c.Tenant.IsZero() {
			_, err := tx.Tenant(c.Tenant)
			if errors.Is(err, directory.ErrNotFound) {
				c.Tenant = directory.TenantID{}
			} else if err != nil {
				return err
			}
		}
		return tx.AppendChange(c)
	})
	if err != nil {
		s.log.ErrorContext(ctx, "refused change not recorded",
			"action", c.Action, "targetKind", c.Target.Kind, "targetId", c.Target.ID, "actor", c.Actor.ID, "correlationId", c.Correlation, "error", err)
	}
}

// conflict makes a refusal of a storage error that says that a key exists, for
// keys that the rules could not look up beforehand.
func conflict(err error, kind, name string) error {
	if errors.Is(err, directory.ErrConflict) {
		return problem.Newf(problem.Conflict, "", "%s %q cannot be written: another object has the same name or id", kind, name)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", kind, err)
	}
	return nil
}
