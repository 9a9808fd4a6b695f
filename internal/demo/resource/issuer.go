package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/avouch/avouch/internal/assertion"
)

// The versions of tokens, as claim ver has them.
const (
	version1 = "1.0"
	version2 = "2.0"
)

const (
	softAge    = time.Hour        // older is read again, meanwhile used
	hardAge    = 24 * time.Hour   // older is not used
	pause      = 30 * time.Second // between readings while something is held
	firstPause = time.Second      // between readings while nothing is held
)

// anyTenant stands for the tenant in keys that serve every tenant.
const anyTenant = "{tenantid}"

// tenant is a tenant whose tokens are accepted. It has two issuers, one for each
// version of tokens.
type tenant struct {
	id      string
	sources [2]*source
}

func newTenant(id string, f *fetcher, log *slog.Logger) *tenant {
	of := func(version, path string) *source {
		return &source{
			tenant: id, version: version, fetch: f, log: log,
			url: "https://" + f.authority + "/" + id + path + "/.well-known/openid-configuration",
		}
	}
	return &tenant{id: id, sources: [2]*source{of(version2, "/v2.0"), of(version1, "")}}
}

// pick finds the tenant's issuer of that name. If it is neither of the two, both
// results are nil; if that cannot be said because one of them is not known, only the
// issuer is nil.
func (t *tenant) pick(ctx context.Context, name string, now time.Time) (*source, *issuer) {
	var unknown []*source
	for _, s := range t.sources {
		of := s.current(now)
		if of == nil {
			unknown = append(unknown, s)
		} else if of.name == name {
			return s, of
		}
	}
	for _, s := range unknown {
		s.begin(now) // both at once
	}
	var missing *source
	for _, s := range unknown {
		of := s.wait(ctx, now)
		if of == nil {
			missing = s
		} else if of.name == name {
			return s, of
		}
	}
	return missing, nil
}

// issuer is one reading of an issuer's document and keys. It is immutable.
type issuer struct {
	name    string // what iss must be
	tenant  string
	version string
	cloud   string // cloud_instance_name, "" if the document has none
	keys    assertion.KeySet
	foreign map[string]bool // ids of published keys that are for other issuers
	read    time.Time
}

// source keeps what is known of one issuer. A failed reading changes nothing.
type source struct {
	tenant, version, url string
	fetch                *fetcher
	log                  *slog.Logger

	mu     sync.Mutex
	held   *issuer       // nil until the first good reading and after the hard age
	last   time.Time     // when the last reading began; zero after the first good one
	flight chan struct{} // closed when the reading under way ends; nil if there is none
}

// current is what is held, or nil. It never waits; what is old is read again in the
// background.
func (s *source) current(now time.Time) *issuer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil && passed(s.held.read, now, hardAge) {
		s.held = nil
	}
	if s.held != nil && passed(s.held.read, now, softAge) {
		s.start(now)
	}
	return s.held
}

// refresh reads again, unless that was done a moment ago, and returns what is held then.
func (s *source) refresh(ctx context.Context, now time.Time) *issuer {
	s.begin(now)
	return s.wait(ctx, now)
}

func (s *source) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(now)
}

// wait waits for the reading under way, if there is one.
func (s *source) wait(ctx context.Context, now time.Time) *issuer {
	s.mu.Lock()
	flight := s.flight
	s.mu.Unlock()
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
		}
	}
	return s.current(now)
}

// start begins a reading if none is under way and the last was long enough ago. The
// caller holds mu. The reading outlives its first caller, since others wait for it.
func (s *source) start(now time.Time) {
	rest := pause
	if s.held == nil {
		rest = firstPause
	}
	if s.flight != nil || !passed(s.last, now, rest) {
		return
	}
	s.last = now
	s.flight = make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		of, err := s.load(ctx, now)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case err != nil:
			s.log.Warn("reading the keys of an issuer failed", "tenant", s.tenant, "version", s.version, "kept", s.held != nil, "error", err)
		case s.held == nil:
			// A key that appears right after the first reading may be asked for at once.
			s.held, s.last = of, time.Time{}
		default:
			s.held = of
		}
		close(s.flight)
		s.flight = nil
	}()
}

// passed reports whether span has passed since then. A clock that was set back by as
// much counts as passed, or it would stop all readings. One that is a little behind is
// that of a caller who looked at it before another one did.
func passed(then, now time.Time, span time.Duration) bool {
	return now.Sub(then).Abs() >= span
}

// load reads the discovery document and the keys that it names.
func (s *source) load(ctx context.Context, now time.Time) (of *issuer, err error) {
	defer func() {
		if p := recover(); p != nil {
			of, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	data, err := s.fetch.get(ctx, s.url, maxDocument)
	if err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	of, address, err := readDocument(data, s.tenant, s.version)
	if err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	data, err = s.fetch.get(ctx, address, assertion.MaxKeySet)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	skipped, err := of.readKeys(data)
	for _, k := range skipped {
		level := slog.LevelWarn
		if k.Private {
			level = slog.LevelError
		}
		s.log.Log(ctx, level, "a published key is not used", "tenant", s.tenant, "version", s.version, "kid", shown(k.KeyID), "why", k.Reason)
	}
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	of.read = now
	return of, nil
}

// readDocument reads a tenant's discovery document. Its issuer must be an https URL
// with the tenant's id as one segment of the path, so that the document of another
// tenant is never taken for this one's.
func readDocument(data []byte, tenant, version string) (of *issuer, keysAt string, err error) {
	members, err := assertion.ParseObject(data, assertion.Limits{Depth: 8, Members: 1024, String: 64 << 10})
	if err != nil {
		return nil, "", err
	}
	name, nameOK := text(members, "issuer")
	keysAt, keysOK := text(members, "jwks_uri")
	cloud, cloudOK := text(members, "cloud_instance_name")
	if !nameOK || !keysOK || !cloudOK || name == "" || keysAt == "" {
		return nil, "", errors.New("issuer, jwks_uri or cloud_instance_name is absent or not a string")
	}
	u, err := url.Parse(name)
	if err != nil || u.Scheme != "https" || !slices.Contains(strings.Split(u.Path, "/"), tenant) {
		return nil, "", fmt.Errorf("issuer %q is not one of tenant %s", name, tenant)
	}
	return &issuer{name: name, tenant: tenant, version: version, cloud: cloud}, keysAt, nil
}

// readKeys takes those keys of a published set that may speak for the issuer. A set
// without any is an error.
func (of *issuer) readKeys(data []byte) ([]assertion.Skipped, error) {
	// The whole text passes the strict parser first. What is taken apart after that
	// has only one reading.
	members, err := assertion.ParseObject(data, assertion.Limits{Depth: 8, Members: assertion.MaxKeySet, String: assertion.MaxKeySet})
	if err != nil {
		return nil, err
	}
	var entries []json.RawMessage
	for _, m := range members {
		if m.Name == "keys" {
			err = json.Unmarshal(m.Value, &entries)
		}
	}
	if err != nil {
		return nil, errors.New("member keys is not an array")
	}
	own := make([]json.RawMessage, 0, len(entries))
	of.foreign = make(map[string]bool)
	for _, entry := range entries {
		key, err := assertion.ParseObject(entry, assertion.Limits{Depth: 8, Members: assertion.MaxKeySet, String: assertion.MaxKeySet})
		if err != nil {
			continue // not an object
		}
		if of.mayUse(key) {
			own = append(own, entry)
		} else if id, _ := text(key, "kid"); id != "" && len(of.foreign) < assertion.MaxKeys {
			of.foreign[id] = true
		}
	}
	set, err := json.Marshal(map[string][]json.RawMessage{"keys": own})
	if err != nil {
		return nil, err
	}
	keys, skipped, err := assertion.ParseKeySet(set)
	if err != nil {
		return nil, err
	}
	if keys.Len() == 0 {
		return skipped, fmt.Errorf("it has no usable key for issuer %s", of.name)
	}
	of.keys = keys
	return skipped, nil
}

// mayUse is IdentityModel's rule about a published key: its own member issuer, with
// {tenantid} replaced, is the token's issuer or the document's (which are the same
// here), and it is of the document's cloud if both name one. Keys for version 1.0 tokens
// name no issuer in the real service; those for 2.0 must.
func (of *issuer) mayUse(key []assertion.Member) bool {
	name, nameOK := text(key, "issuer")
	cloud, cloudOK := text(key, "cloud_instance_name")
	if !nameOK || !cloudOK {
		return false
	}
	if name == "" && of.version != version1 {
		return false
	}
	if name != "" && strings.ReplaceAll(name, anyTenant, of.tenant) != of.name {
		return false
	}
	return cloud == "" || of.cloud == "" || cloud == of.cloud
}

// text is the value of a string member, "" if it is absent, and false if it is
// something else.
func text(members []assertion.Member, name string) (string, bool) {
	for _, m := range members {
		if m.Name != name {
			continue
		}
		if len(m.Value) == 0 || m.Value[0] != '"' {
			return "", false
		}
		var value string
		err := json.Unmarshal(m.Value, &value)
		return value, err == nil
	}
	return "", true
}
