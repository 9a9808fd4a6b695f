package tokenapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// event is what identifies one request in its answer, its record and the log.
type event struct {
	trace       string
	correlation string
	echo        bool // the caller wants its id back in a header
	now         time.Time
}

// event names the request. The trace id is always ours; the correlation id is
// the caller's if it is a GUID.
func (a *API) event(r *http.Request) *event {
	ev := &event{trace: uuid.NewString(), now: a.now().UTC()}
	ev.correlation = correlation(r.Header.Get("client-request-id"))
	ev.echo = strings.EqualFold(r.Header.Get("return-client-request-id"), "true")
	return ev
}

// correlate takes the caller's id from the form, where some clients put it.
func (ev *event) correlate(id string) {
	if ev.correlation == "" {
		ev.correlation = correlation(id)
	}
}

// correlation is the caller's id if it is a GUID in its usual form, else "".
// The library's parser takes other forms too, and among them anything that is
// 38 characters long with a GUID in the middle.
func correlation(id string) string {
	if len(id) != 36 {
		return ""
	}
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	return parsed.String()
}

func (ev *event) correlationID() string {
	if ev.correlation == "" {
		ev.correlation = uuid.NewString()
	}
	return ev.correlation
}

// headers sets what every answer of the token service carries.
func (ev *event) headers(w http.ResponseWriter) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
	h["Expires"] = expired
	h["X-Content-Type-Options"] = noSniff
	h["Strict-Transport-Security"] = onlyTLS
	h["X-Ms-Request-Id"] = []string{ev.trace}
	if ev.echo && ev.correlation != "" {
		h["Client-Request-Id"] = []string{ev.correlation}
	}
}

// Header values are shared: the HTTP server only reads them.
var (
	noStore  = []string{"no-store, no-cache"}
	noCache  = []string{"no-cache"}
	expired  = []string{"-1"}
	noSniff  = []string{"nosniff"}
	onlyTLS  = []string{"max-age=31536000; includeSubDomains"}
	jsonType = []string{"application/json; charset=utf-8"}
)

func writeJSON(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	// A write error means that the caller has gone; there is nobody to tell.
	_, _ = w.Write(data)
	return nil
}
