package graphapi

import (
	"bytes"
	"crypto/sha256"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

// What is remembered of creations, so that a caller who did not hear the answer
// and asks again gets it instead of a second object (threats A5).
const (
	repeatsKept   = 24 * time.Hour
	mostRepeats   = 4096     // answers; the oldest go first
	longestRepeat = 16 << 10 // bytes of an answer that is kept
)

// creation tells one request to create something from every other: who asked,
// under which client-request-id, where, and for what.
type creation struct {
	tenant    directory.TenantID
	principal directory.ObjectID
	client    directory.ClientID
	request   directory.ObjectID
	path      string
	body      [sha256.Size]byte
}

// created is the answer to a creation.
type created struct {
	at     time.Time
	header http.Header
	body   []byte
	done   chan struct{} // closed when the answer is there, or will not come
	kept   bool
}

// repeats remembers the answers to creations. It may be used concurrently.
type repeats struct {
	mu    sync.Mutex
	known map[creation]*created
	order []creation // the oldest first
}

// begin returns the answer to the same creation; nil when this is the first, who
// then must call the function that comes with it when it has ended.
func (m *repeats) begin(key creation, now time.Time) (*created, func(*created)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.order) > 0 {
		oldest := m.order[0]
		if c := m.known[oldest]; c != nil && len(m.order) < mostRepeats && now.Sub(c.at) < repeatsKept {
			break
		}
		delete(m.known, oldest)
		m.order = m.order[1:]
	}
	if c := m.known[key]; c != nil {
		return c, nil
	}
	if m.known == nil {
		m.known = make(map[creation]*created)
	}
	first := &created{at: now, done: make(chan struct{})}
	m.known[key] = first
	m.order = append(m.order, key)
	return nil, func(answer *created) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if answer != nil {
			first.header, first.body, first.kept = answer.header, answer.body, true
		} else if m.known[key] == first {
			delete(m.known, key)
		}
		close(first.done)
	}
}

// once runs a creation that names itself by a client-request-id, unless it was
// run already: then it repeats the answer. Only what created something is
// remembered; a refusal may be mended and asked again.
func (c *call) once(run func() error) error {
	request, err := directory.ParseObjectID(c.r.Header.Get("client-request-id"))
	if err != nil || c.op.Method != http.MethodPost {
		return run()
	}
	text, err := io.ReadAll(c.r.Body)
	c.r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text), failing{err}))
	if err != nil {
		return run() // says what is wrong with it
	}
	key := creation{c.tenant, c.caller.Access.Principal, c.caller.Access.Client, request, c.r.URL.EscapedPath() + "?" + c.r.URL.RawQuery, sha256.Sum256(text)}
	before, end := c.api.repeats.begin(key, c.api.now())
	if before != nil {
		select {
		case <-before.done:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		if !before.kept {
			return run()
		}
		if err := c.api.manage.Present(c.ctx, c.caller); err != nil {
			return err
		}
		maps.Copy(c.w.Header(), before.header)
		c.w.WriteHeader(http.StatusCreated)
		_, err := c.w.Write(before.body)
		return err
	}
	var answer *created
	defer func() { end(answer) }()
	kept := &keeping{ResponseWriter: c.w}
	c.w = kept
	if err := run(); err != nil {
		return err
	}
	if kept.status == http.StatusCreated && kept.body.Len() <= longestRepeat {
		answer = &created{header: kept.header, body: kept.body.Bytes()}
	}
	return nil
}

// keeping keeps what passes through it.
type keeping struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

func (k *keeping) WriteHeader(status int) {
	if k.status == 0 {
		k.status, k.header = status, make(http.Header)
		for _, name := range []string{"Content-Type", "Location", "Etag", "Odata-Version"} {
			if v := k.Header().Values(name); v != nil {
				k.header[name] = append([]string(nil), v...)
			}
		}
	}
	k.ResponseWriter.WriteHeader(status)
}

func (k *keeping) Write(p []byte) (int, error) {
	if k.body.Len() <= longestRepeat {
		k.body.Write(p)
	}
	return k.ResponseWriter.Write(p)
}

// failing ends a body with the error that reading it met.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}
