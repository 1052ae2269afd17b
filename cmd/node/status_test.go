package main

import (
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
