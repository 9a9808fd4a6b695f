//go:build az

package interop

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/fixture"
)

// TestAzureCLI runs az/scenario.sh, which is long: az takes seconds to start.
func TestAzureCLI(t *testing.T) {
	h := newPlatform(t, "management.yaml", adminMachine)
	venv := filepath.Join(h.root, "az", ".venv")
	if _, err := os.Stat(filepath.Join(venv, ".installed")); err != nil {
		fixture.Missing(t, "az is not installed; run sh az/setup.sh")
	}
	environment := bareEnvironment(t)
	maps.Copy(environment, h.environments[adminMachine])
	maps.Copy(environment, map[string]string{
		"PATH":       filepath.Join(venv, "bin") + string(filepath.ListSeparator) + h.path(t),
		"MANAGEMENT": h.platform.ResourceManager,
		"GRAPH":      h.platform.Graph,
		"ADMIN":      adminIdentity,
		"TENANT":     contoso,
		"HOST_ID":    webMachineID,
		"SITE_ID":    webAppID,
		"AVOUCH_DIR": h.dir,
		// The script evaluates it.
		"AVOUCH_TOKEN": `avouch token --identity "$IDENTITY_CLIENT" --resource api://AzureADTokenExchange`,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(h.root, "az", "scenario.sh"))
	cmd.Dir, cmd.Env = t.TempDir(), variables(environment)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("az/scenario.sh: %v", err)
	}
}
