package graphapi

import (
	"net/http"
	"testing"

	"github.com/avouch/avouch/internal/access"
)

// TestRestoringDoesNotClimb: a service principal does not come back into a group
// that has got rights since, by somebody who could not have put it there.
func TestRestoringDoesNotClimb(t *testing.T) {
	p := newPlatform(t)
	c, a := p.app("sleeper")
	owner := p.user("owner", "contoso.example")
	p.must(204, "POST", "/v1.0/applications/"+a.ID.String()+"/owners/$ref", `{"@odata.id":"x/`+owner.Principal.String()+`"}`)
	p.must(204, "POST", "/v1.0/servicePrincipals/"+c.Principal.String()+"/owners/$ref", `{"@odata.id":"x/`+owner.Principal.String()+`"}`)
	group := p.must(201, "POST", "/v1.0/groups", `{"displayName":"trusted","mailNickname":"trusted","mailEnabled":false,"securityEnabled":true,"isAssignableToRole":true}`).str("id")
	p.must(204, "POST", "/v1.0/groups/"+group+"/members/$ref", `{"@odata.id":"x/`+c.Principal.String()+`"}`)
	p.must(204, "DELETE", "/v1.0/servicePrincipals/"+c.Principal.String(), "")
	p.must(201, "POST", "/v1.0/roleManagement/directory/roleAssignments",
		`{"principalId":"`+group+`","roleDefinitionId":"`+access.GlobalAdministrator.String()+`","directoryScopeId":"/"}`)
	restore := "/v1.0/directory/deletedItems/" + c.Principal.String() + "/restore"
	p.user("appadmin", "contoso.example", "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3")
	for _, who := range []string{"owner", "appadmin"} {
		if a := p.as(who, "POST", restore, ""); a.status != http.StatusForbidden {
			t.Errorf("%s restored it into a group of administrators: %d %s", who, a.status, a.text)
		}
	}
	p.must(200, "POST", restore, "")
}
