package graphapi

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestDemotionUnderWay: while a caller writes as fast as he can, his role is taken
// away. Nothing that he asks after that was acknowledged goes through (threats X9).
func TestDemotionUnderWay(t *testing.T) {
	p := newPlatform(t)
	const applicationAdministrator = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
	writer := p.user("writer", "contoso.example", applicationAdministrator)
	held := p.must(200, "GET", "/v1.0/roleManagement/directory/roleAssignments?$filter=principalId eq '"+writer.Principal.String()+"'", "").values()
	if len(held) != 1 {
		t.Fatal(held)
	}
	target, _ := p.register(`{"displayName":"not his"}`)
	var demoted atomic.Bool
	wrote, ended := 0, make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		for i := range 2000 {
			late := demoted.Load()
			a := p.as("writer", "PATCH", "/v1.0/applications/"+target, fmt.Sprintf(`{"notes":"%d"}`, i))
			switch {
			case a.status == http.StatusForbidden:
				ended <- nil
				return
			case a.status != http.StatusNoContent:
				ended <- fmt.Errorf("%d %s", a.status, a.text)
				return
			case late:
				ended <- fmt.Errorf("write %d went through after the role was gone", i)
				return
			}
			if wrote++; wrote == 20 {
				close(begun)
			}
		}
		ended <- fmt.Errorf("never refused")
	}()
	<-begun
	p.must(204, "DELETE", "/v1.0/roleManagement/directory/roleAssignments/"+fmt.Sprint(held[0]["id"]), "")
	demoted.Store(true)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNoCrossOrigin: no answer invites scripts of other origins (threats A9).
func TestNoCrossOrigin(t *testing.T) {
	p := newPlatform(t)
	for _, method := range []string{"GET", "OPTIONS", "POST"} {
		a := p.as("admin", method, "/v1.0/applications", `{"displayName":"x"}`, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s: %s", method, name, a.header.Get(name))
			}
		}
	}
}
