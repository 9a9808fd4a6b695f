package graphapi

import (
	"net/http"
	"sync"
	"testing"
)

// TestRepeatedCreations: a POST that is sent again under its client-request-id
// creates once and is answered alike, also when both are under way (threats A5).
func TestRepeatedCreations(t *testing.T) {
	p := newPlatform(t)
	const id = "0f8fad5b-d9cb-469f-a165-70867728950e"
	post := func(token, body, request string) answer {
		return p.as(token, "POST", "/v1.0/applications", body, "client-request-id", request)
	}
	var answers [8]answer
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = post("admin", `{"displayName":"once"}`, id) })
	}
	all.Wait()
	for _, a := range answers {
		if a.status != http.StatusCreated || a.str("id") != answers[0].str("id") {
			t.Errorf("%d %s", a.status, a.text)
		}
	}
	if n := len(p.must(http.StatusOK, "GET", "/v1.0/applications?$filter=displayName%20eq%20'once'", "").values()); n != 1 {
		t.Errorf("%d applications were made", n)
	}
	p.user("other", "contoso.example", "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3")
	for what, a := range map[string]answer{
		"another body":      post("admin", `{"displayName":"twice"}`, id),
		"another id":        post("admin", `{"displayName":"once"}`, "1f8fad5b-d9cb-469f-a165-70867728950e"),
		"no id":             post("admin", `{"displayName":"once"}`, "no GUID"),
		"another caller":    post("other", `{"displayName":"once"}`, id),
		"another version":   p.as("admin", "POST", "/beta/applications", `{"displayName":"once"}`, "client-request-id", id),
		"a refusal, mended": post("admin", `{"displayName":"mended"}`, "2f8fad5b-d9cb-469f-a165-70867728950e"),
	} {
		if a.status != http.StatusCreated || a.str("id") == answers[0].str("id") {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
	}
	for range 2 {
		if a := post("admin", `{"displayName":""}`, id); a.status != http.StatusBadRequest {
			t.Errorf("a refusal: %d %s", a.status, a.text)
		}
	}
}
