package interop

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/fixture"
)

// testJava shows that a Java program trusts the platform with what avouch env
// prints. Java's SDK is not run.
func testJava(t *testing.T, h *harness) {
	java, err := exec.LookPath("java")
	if err != nil {
		fixture.Missing(t, "java is not installed")
	}
	out := h.workload(t, appService.host, []string{java, filepath.Join(h.root, "java", "Trust.java")}, map[string]string{
		"AVOUCH_TENANT": ownTenant.authority,
	})
	if !strings.Contains(out, "200 {") || !strings.Contains(out, contoso) {
		t.Errorf("the program printed %q", out)
	}
}
