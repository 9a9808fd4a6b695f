package manage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// PlainResource is a resource that the platform stores for its clients and
// never looks into, such as an App Service plan. It lives in what is kept of its
// resource group.
type PlainResource struct {
	Group    string         `json:"-"`
	Type     string         `json:"type"` // Microsoft.Web/serverfarms
	Name     string         `json:"name"`
	Location string         `json:"location"`
	Kept     directory.Kept `json:"kept,omitempty"`
}

const plainKey = "resources" // in what is kept of a resource group

func plainIn(g *directory.ResourceGroup) ([]PlainResource, error) {
	var all []PlainResource
	if raw := g.Kept[plainKey]; raw != nil {
		if err := json.Unmarshal(raw, &all); err != nil {
			return nil, fmt.Errorf("reading the resources of a group: %w", err)
		}
	}
	for i := range all {
		all[i].Group = g.Name
	}
	return all, nil
}

func (w *writer) plainResources(p Place, kind string) ([]PlainResource, error) {
	groups, err := w.tx.ResourceGroups(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading resource groups: %w", err)
	}
	var all []PlainResource
	for i := range groups {
		if p.Group != "" && !strings.EqualFold(groups[i].Name, p.Group) {
			continue
		}
		some, err := plainIn(&groups[i])
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			if kind != "" && !strings.EqualFold(r.Type, kind) {
				continue
			}
			at := p
			at.Group, at.Name, at.Action = groups[i].Name, r.Name, r.Type+"/read"
			visible, err := w.decideList(Place{Tenant: p.Tenant, Subscription: p.Subscription, Action: at.Action})
			if err != nil {
				return nil, err
			}
			if visible(at.resource(r.Type)) {
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// PlainResources lists those of the type that the caller may read.
func (s *Service) PlainResources(ctx context.Context, caller Caller, p Place, kind string) ([]PlainResource, error) {
	var all []PlainResource
	err := s.read(ctx, caller, func(w *writer) error {
		if _, err := w.decideList(p); err != nil {
			return err
		}
		if p.Group != "" {
			if _, err := w.group(p.Tenant, p.Group); err != nil {
				return err
			}
		}
		var err error
		all, err = w.plainResources(p, kind)
		return err
	})
	return all, err
}

// PlainResource returns the one at the place.
func (s *Service) PlainResource(ctx context.Context, caller Caller, p Place, kind string) (*PlainResource, error) {
	var r *PlainResource
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.decideAt(p, p.resource(kind)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		all, err := plainIn(g)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, p.isPlain(kind))
		if i < 0 {
			return noResource(kind, p.Group, p.Name)
		}
		r = &all[i]
		return nil
	})
	return r, err
}

func (p Place) isPlain(kind string) func(PlainResource) bool {
	return func(r PlainResource) bool {
		return strings.EqualFold(r.Type, kind) && strings.EqualFold(r.Name, p.Name)
	}
}

// PutPlainResource makes or changes the one at the place and reports whether it
// made it.
func (s *Service) PutPlainResource(ctx context.Context, caller Caller, p Place, kind string, rw ResourceWrite) (*PlainResource, bool, error) {
	var after PlainResource
	created := false
	_, err := s.change(ctx, p.attempt(Update, "resource", p.resource(kind), false), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, p.resource(kind)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		all, err := plainIn(g)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, p.isPlain(kind))
		switch {
		case i < 0 && rw.Patch:
			return noResource(kind, p.Group, p.Name)
		case i < 0:
			if rw.Location == "" {
				return noLocation()
			}
			if len(all) >= maxPlainResources {
				return problem.Newf(problem.Limit, "", "resource group %s holds %d stored resources, which is the most", g.Name, len(all))
			}
			if err := directory.ValidateResourceName("name", p.Name, 1, 128, "."); err != nil {
				return err
			}
			if err := validPlace(g.Name, rw.Location); err != nil {
				return err
			}
			created = true
			all = append(all, PlainResource{Group: g.Name, Type: kind, Name: p.Name, Location: rw.Location})
			i = len(all) - 1
		case rw.Location != "" && !strings.EqualFold(rw.Location, all[i].Location):
			return moved(all[i].Name, all[i].Location, g.Name, rw.Location)
		}
		if all[i].Kept, err = rw.kept(all[i].Kept); err != nil {
			return err
		}
		after = all[i]
		return w.putPlain(p, g, all)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

func (w *writer) putPlain(p Place, g *directory.ResourceGroup, all []PlainResource) error {
	var raw json.RawMessage
	if len(all) > 0 {
		var err error
		if raw, err = json.Marshal(all); err != nil {
			return fmt.Errorf("encoding resources: %w", err)
		}
	}
	after := *g
	after.Kept = g.Kept.With(plainKey, raw)
	return w.putResourceGroup(p, g, &after)
}

// DeletePlainResource deletes the one at the place and reports whether there
// was one.
func (s *Service) DeletePlainResource(ctx context.Context, caller Caller, p Place, kind string) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, "resource", p.resource(kind), false), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, p.resource(kind)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		all, err := plainIn(g)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, p.isPlain(kind))
		if i < 0 {
			return nil
		}
		existed = true
		if err := w.dropAzureAssignmentsWithin(p.Tenant, p.resource(kind)); err != nil {
			return err
		}
		return w.putPlain(p, g, slices.Delete(all, i, i+1))
	})
	return existed, err
}
