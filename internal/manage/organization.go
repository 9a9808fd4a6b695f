package manage

import (
	"context"
	"fmt"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
)

// Organization reads the tenant itself.
func (s *Service) Organization(ctx context.Context, caller Caller, t directory.TenantID) (*directory.Tenant, error) {
	var tenant *directory.Tenant
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		if tenant, err = w.tx.Tenant(t); err != nil {
			return fmt.Errorf("finding tenant: %w", err)
		}
		return nil
	})
	return tenant, err
}

// Present reports whether the caller of an API is still there: nil means yes.
func (s *Service) Present(ctx context.Context, caller Caller) error {
	return s.read(ctx, caller, func(w *writer) error {
		w.decided = true
		return w.present(caller.Access)
	})
}

// MayRead decides whether the caller may read what is kept outside the
// directory, such as the records of sign-ins: nil means yes.
func (s *Service) MayRead(ctx context.Context, caller Caller, t directory.TenantID) error {
	return s.read(ctx, caller, func(w *writer) error { return w.allow(t, access.Object{}) })
}
