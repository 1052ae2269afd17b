package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
)

// A folder that stays behind is worth a word where nothing brings it on.
func TestFolderBehindIsTold(t *testing.T) {
	for _, x := range []struct {
		set  api.SetInfo
		told bool
	}{
		{api.SetInfo{Revision: 4, DirRevision: 2}, true}, {api.SetInfo{Revision: 4}, false},
		{api.SetInfo{Revision: 4, DirRevision: 2, Following: true}, false}, {api.SetInfo{Revision: 4, DirRevision: 2, Replicating: true}, false},
	} {
		if got := strings.Join(concerns(x.set), "\n"); strings.Contains(got, "at revision 2") != x.told || x.told && !strings.Contains(got, "brings it to 4") {
			t.Errorf("%+v: %q", x.set, got)
		}
	}
}

func TestTicketFileAndPath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a ticket")
	if err := os.WriteFile(file, []byte("shoal1x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string][2]string{
		"@" + file:                  {"@" + file, ""},
		"@" + file + "/deep/er":     {"@" + file, "deep/er"},
		"@" + file + "/":            {"@" + file, ""},
		"@" + dir + "/none/deep/er": {"@" + dir + "/none/deep/er", ""},
		"shoal1x/deep":              {"shoal1x/deep", ""},
		"@":                         {"@", ""},
		"-":                         {"-", ""},
	} {
		if file, path := ticketFile(arg); file != want[0] || path != want[1] {
			t.Errorf("%q: %q %q", arg, file, path)
		}
	}
}
