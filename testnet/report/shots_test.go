package report_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-p2p/shoal/testnet/report"
)

func TestShots(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip()
	}
	for n, tr := range all() {
		p, err := report.Write(filepath.Join(dir, n), tr)
		if err != nil {
			t.Fatal(err)
		}
		i, _ := os.Stat(p)
		t.Log(n, i.Size(), report.Headline(tr))
	}
}
