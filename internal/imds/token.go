package imds

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

// Reasons of records that end before the token service is asked.
const (
	reasonRequest = "request"     // the request's own form
	reasonSecret  = "host-secret" // the header secret is absent or wrong
)

// scratch is the working memory of one request.
type scratch struct {
	rec  audit.SignIn
	body []byte
}

// event is what identifies one request in its answer, its record and the log.
type event struct {
	trace       string
	correlation string // the caller's id if it sent a GUID, else the trace
}

func (s *Service) event(r *http.Request) *event {
	trace := uuid.NewString()
	ev := &event{trace: trace, correlation: trace}
	if id := r.Header.Get("X-Ms-Client-Request-Id"); len(id) == 36 {
		if parsed, err := uuid.Parse(id); err == nil {
			ev.correlation = parsed.String()
		}
	}
	return ev
}

// token answers a token request of a host that has been told apart: the query
// is checked for form, the token service asked, its answer rendered.
func (s *Service) token(w http.ResponseWriter, r *http.Request, d *dialect, who caller, q *query) {
	began := time.Now()
	m := s.meter(who)
	if m != nil && !m.enter(s.now()) {
		// Not recorded: a throttle whose every "no" is stored protects nothing.
		s.fail(w, r, d, s.event(r), &failure{
			status: http.StatusTooManyRequests, oauth: "too_many_requests",
			text: "Too many requests for managed identity tokens from this host; try again in a second.",
		})
		return
	}
	if m != nil {
		defer m.leave()
	}

	tmp := s.scratch.Get().(*scratch)
	defer s.scratch.Put(tmp)
	rec := &tmp.rec
	*rec = audit.SignIn{}

	request, refusal, no := asked(d, who, q)
	var response *sts.IdentityResponse
	if no == nil && refusal == nil {
		var err error
		if response, err = s.issuer.Identity(r.Context(), request, rec); err != nil {
			var decided bool
			if refusal, decided = sts.AsRefusal(err); !decided {
				ev := s.event(r)
				s.logFault(r, ev, err)
				rec.Outcome, rec.Detail = audit.Failed, "internal fault"
				s.record(r, ev, who, began, rec)
				s.fail(w, r, d, ev, internalFault())
				return
			}
		}
	}
	if refusal != nil {
		no, rec.Code = s.words(q, refusal)
		rec.Reason, rec.Detail = string(refusal.Reason), audit.Clip(refusal.Detail)
	}
	if no != nil {
		rec.Outcome = audit.Refused
		if rec.Reason == "" {
			rec.Reason, rec.Detail = reasonRequest, no.text
		}
		if rec.Resource == "" {
			rec.Resource = audit.Clip(q.value[resource])
		}
		ev := s.event(r)
		s.record(r, ev, who, began, rec)
		s.fail(w, r, d, ev, no)
		return
	}

	h := w.Header()
	if !response.Cached {
		// A token from memory leaves no record: the one of its minting names
		// it already, and workloads ask again thousands of times.
		ev := s.event(r)
		rec.Outcome = audit.Succeeded
		s.record(r, ev, who, began, rec)
		h["X-Ms-Request-Id"] = []string{ev.trace}
	}
	tmp.body = d.success(tmp.body[:0], q, response)
	s.write(w, d, http.StatusOK, tmp.body)
}

// asked turns a query into a request to the token service. An id that is no
// GUID names no identity there can be: that is a refusal, not bad form.
func asked(d *dialect, who caller, q *query) (sts.IdentityRequest, *sts.Refusal, *failure) {
	request := sts.IdentityRequest{
		Tenant: who.tenant, Host: who.host, SoleUser: d.soleUser, Resource: q.value[resource],
		Fresh: strings.EqualFold(q.value[bypassCache], "true"),
	}
	if request.Resource == "" {
		return request, nil, badRequest("The parameter 'resource' is missing: it says what the token is for.")
	}
	if q.ids() > 1 {
		return request, nil, badRequest("More than one identity is named: give one of the client id, the object id and the resource id.")
	}
	notGUID := func(value string) *sts.Refusal {
		return &sts.Refusal{Reason: trust.IdentityNotAssigned, Value: value, Detail: "the id that was given is not a GUID"}
	}
	var err error
	switch client := q.value[clientID] + q.value[legacyClientID]; {
	case client != "":
		if request.Want.ClientID, err = directory.ParseClientID(client); err != nil {
			return request, notGUID(client), nil
		}
	case q.value[objectID] != "":
		if request.Want.ObjectID, err = directory.ParseObjectID(q.value[objectID]); err != nil {
			return request, notGUID(q.value[objectID]), nil
		}
	default:
		request.Want.ResourceID = q.value[resourceID]
	}
	return request, nil, nil
}

// words renders a refusal. Clients look for "Identity not found" in the text.
// Every refusal is a 400: it is permanent, and clients repeat what is not for
// tens of seconds.
func (s *Service) words(q *query, refusal *sts.Refusal) (no *failure, code int) {
	detail := ""
	if refusal.Detail != "" {
		detail = " (" + audit.Clip(refusal.Detail) + ")"
	}
	switch refusal.Reason {
	case trust.IdentityNotAssigned:
		named := q.value[clientID] + q.value[legacyClientID] + q.value[objectID] + q.value[resourceID]
		return badRequest("Identity not found: no identity with the id '" + printable(named) + "' is assigned to this host" + detail + "."), 0
	case trust.IdentityNone:
		return badRequest("Identity not found: this host has no identity to use when the request names none" + detail + "."), 0
	case trust.HostUnknown:
		return badRequest("Identity not found: this host is not in the directory any more."), 0
	case trust.IdentityAmbiguous:
		return badRequest("Multiple user assigned identities exist, please specify the clientId or resourceId of the identity in the token request" + detail + "."), 0
	}
	code, oauth, text := s.describe(refusal)
	no = &failure{status: http.StatusBadRequest, oauth: oauth, text: "AADSTS" + strconv.Itoa(code) + ": " + text}
	if oauth == "temporarily_unavailable" {
		no.status = http.StatusInternalServerError
	}
	return no, code
}

func (s *Service) logFault(r *http.Request, ev *event, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		s.log.Debug("the caller of a managed identity request went away", "trace", ev.trace)
		return
	}
	s.log.Error("a managed identity request failed", "trace", ev.trace, "error", err)
}

// record finishes the record of a request and passes it on.
func (s *Service) record(r *http.Request, ev *event, who caller, began time.Time, rec *audit.SignIn) {
	rec.ID, rec.Correlation = ev.trace, ev.correlation
	rec.Kind, rec.Time, rec.Source = audit.IdentitySignIn, s.now().UTC(), route.Source(r)
	if rec.Tenant.IsZero() {
		rec.Tenant = who.tenant
	}
	if rec.Host == "" {
		rec.Host = who.host.String()
	}
	rec.Took = time.Since(began)
	s.records.Record(*rec)
}

// refuseEarly answers and records a token request that ends before its query is
// looked into. The caller is zero when it did not prove which host it is.
func (s *Service) refuseEarly(w http.ResponseWriter, r *http.Request, d *dialect, who caller, reason string, no *failure) {
	ev := s.event(r)
	s.record(r, ev, who, time.Now(), &audit.SignIn{Outcome: audit.Refused, Reason: reason, Detail: no.text})
	s.fail(w, r, d, ev, no)
}

// malformed answers a token request whose query is bad in form.
func (s *Service) malformed(w http.ResponseWriter, r *http.Request, d *dialect, who caller, wrong string) {
	s.refuseEarly(w, r, d, who, reasonRequest, badRequest("The request is malformed: "+wrong+"."))
}

// repel answers a request that no workload sends.
func (s *Service) repel(w http.ResponseWriter, r *http.Request, d *dialect, no *failure) {
	ev := s.event(r)
	s.warnings.Do(func() {
		s.log.Warn("a request to a managed identity endpoint was turned away", "trace", ev.trace, "source", route.Source(r),
			"host", audit.Clip(r.Host), "status", no.status, "why", no.text)
	})
	s.fail(w, r, d, ev, no)
}

// fail writes an answer that gives out no token.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, d *dialect, ev *event, f *failure) {
	s.log.Debug("managed identity request answered", "trace", ev.trace, "correlation", ev.correlation, "source", route.Source(r),
		"method", audit.Clip(r.Method), "path", audit.Clip(r.URL.Path), "status", f.status)
	h := w.Header()
	h["X-Ms-Request-Id"] = []string{ev.trace}
	if f.status == http.StatusTooManyRequests {
		h["Retry-After"] = oneSec
	}
	s.write(w, d, f.status, d.failure(nil, f, ev.correlation))
}

func (s *Service) write(w http.ResponseWriter, d *dialect, status int, body []byte) {
	h := w.Header()
	if d.server != nil {
		h["Server"] = d.server
	}
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = jsonType, noStore, noSniff
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A write error means that the caller has gone; there is nobody to tell.
	_, _ = w.Write(body)
}
