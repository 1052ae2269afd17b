package node

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	full := false
	n, err := New(Config{Home: t.TempDir(), Offline: true, Reserve: 1 << 10, Bed: &Bed{Full: func() bool { return full }}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got := n.Warnings(); len(got) > 0 {
		t.Errorf("%q", got)
	}
	full = true
	got := n.Warnings()
	full = false // to a full disk the store is not closed, and a test ends with all it began
	if len(got) != 1 || !strings.HasPrefix(got[0], "disk: ") || strings.Contains(got[0], n.home.dir) {
		t.Errorf("full: %q", got)
	}
}
