package meter

import (
	"os/exec"
	"testing"
)

// TestAlertsForPrometheus asks Prometheus itself where it is installed.
func TestAlertsForPrometheus(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool, of Prometheus")
	}
	if out, err := exec.CommandContext(t.Context(), tool, "check", "rules", alertsFile).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
