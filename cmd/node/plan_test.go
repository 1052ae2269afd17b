package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/node/api"
)

// A plan of many files fits a screen, with what costs most; all of it is to be had.
func TestPlanFitsAScreen(t *testing.T) {
	t.Parallel()
	var p diff.Plan
	for i := range 11_478 {
		p.Files = append(p.Files, diff.FilePlan{Path: fmt.Sprintf("dir/%05d", i), Action: diff.Build, Reused: 7, Fetched: int64(i % 1000)})
	}
	p.Files[4000].Fetched, p.Files[4000].Path = 1<<30, "the largest one"
	p.Files[9000].Patched, p.Files[9000].Path = 1<<29, "much of it patched"
	res := api.GetResult{Plan: true, Name: "data", Lines: p.Lines(), InWay: []string{"mine\n"}}
	print := func(verbose bool) string {
		var out, err bytes.Buffer
		a := &app{process: process{stdout: &out, stderr: &err}}
		a.opts.verbose = verbose
		a.printPlan(&out, res)
		return out.String()
	}
	short, long := print(false), print(true)
	lines := strings.Split(strings.TrimSpace(short), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "set ") })
	if at != 20 || !strings.Contains(short, `build "the largest one"`) || !strings.Contains(short, `build "much of it patched"`) ||
		lines[17] != "and 11,461 more; -v lists all" || !strings.HasPrefix(lines[18], "11478 files: ") {
		t.Errorf("%d lines before the figures:\n%s", at, short)
	}
	for _, l := range lines[:17] {
		if m := plannedBytes.FindStringSubmatch(l); m == nil || len(m[1]) < 3 && len(m[2]) < 3 || m[2] < "998" && len(m[2]) == 3 {
			t.Errorf("%q is among those of which most is to come", l)
		}
	}
	if n := strings.Count(long, "build "); n != 11_478 || strings.Contains(long, "more; -v") {
		t.Errorf("%d files with -v", n)
	}
	if !strings.Contains(short, `in the way   "mine\n": the get is refused without --force`) {
		t.Errorf("what is in the way is not said:\n%s", short)
	}
	res.Lines = res.Lines[len(res.Lines)-20:]
	if few := print(false); strings.Contains(few, "more; -v") || strings.Count(few, "build ") != 18 {
		t.Errorf("a short plan:\n%s", few)
	}
}

func TestWhatAGetIsAbout(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		res  api.GetResult
		want string
	}{
		{api.GetResult{}, "0 B in 0 files; complete already"},
		{api.GetResult{Links: 1, Changed: true}, "0 B in 1 link; made"},
		{api.GetResult{Links: 1}, "0 B in 1 link; complete already"},
		{api.GetResult{Folders: 2, Changed: true}, "0 B in 2 folders; made"},
		{api.GetResult{Files: 1, Links: 2, Folders: 3, BytesTotal: 1024, BytesReused: 1024, Changed: true}, "1.0 KiB in 1 file and 2 links; all of it was here"},
	} {
		if got := gotWords(x.res); !strings.HasPrefix(got, x.want+"; ") {
			t.Errorf("%+v: %s", x.res, got)
		}
	}
}
