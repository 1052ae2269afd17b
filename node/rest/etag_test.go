package rest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
)

// What is asked again and again costs no body while it is the same.
func TestUnchangedAnswersAreNotSent(t *testing.T) {
	st := api.Status{PeerID: "me", UptimeSeconds: 1, WireIn: 5}
	f := &fake{sets: manySets(3), status: func() (api.Status, error) { st.UptimeSeconds++; return st, nil }}
	a := serve(t, f, Options{})
	for _, path := range []string{"/status", "/sets", "/sets?limit=2", "/sets/set0001", "/sets/set0001/members", "/limits", "/peers", "/operations", "/search?q=a", "/sets/s/diff"} {
		first := call(t, a, "GET", prefix+path, "")
		tag := first.header.Get("ETag")
		for ifNone, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x.y"`: 200, "": 200} {
			r := call(t, a, "GET", prefix+path, "", "If-None-Match", ifNone)
			if r.status != want || r.header.Get("ETag") != tag || (r.body == "") != (want == 304) {
				t.Errorf("%s, If-None-Match %s: %d %v %q", path, ifNone, r.status, r.header, r.body)
			}
		}
	}
	before := call(t, a, "GET", prefix+"/sets/set0001", "").header.Get("ETag")
	f.sets[1].Peers++
	st.WireIn++
	if r := call(t, a, "GET", prefix+"/sets/set0001", "", "If-None-Match", before); r.status != 200 {
		t.Errorf("a peer came: %d", r.status)
	}
}

// A change with If-Match is made only to what its asker has read; a peer that came meanwhile is no matter.
func TestLostUpdatesAreRefused(t *testing.T) {
	f := &fake{sets: manySets(1)}
	a := serve(t, f, Options{})
	for _, tt := range []struct{ read, method, path, body string }{
		{"/sets/set0000", "POST", "/sets/set0000/rename", `{"name":"n"}`},
		{"/sets/set0000", "POST", "/sets/set0000/promote", `{"peer":"p"}`},
		{"/sets/set0000", "POST", "/sets/set0000/unfollow", ``},
		{"/sets/set0000", "DELETE", "/sets/set0000", ``},
		{"/sets/set0000/members", "POST", "/sets/set0000/members", `{"peer":"p","right":"reader"}`},
		{"/sets/set0000/members", "DELETE", "/sets/set0000/members?peer=p", ``},
		{"/limits", "PUT", "/limits", `{"up":5}`},
	} {
		tag := call(t, a, "GET", prefix+tt.read, "").header.Get("ETag")
		f.sets[0].Peers++
		for match, want := range map[string]int{tag: 200, "*": 200, `"other.x"`: 412, `"", "a"`: 412, "": 200} {
			f.ask(nil)
			r := call(t, a, tt.method, prefix+tt.path, tt.body, "If-Match", match)
			if r.status != want {
				t.Errorf("%s %s, If-Match %s: %d %s", tt.method, tt.path, match, r.status, r.body)
			}
			if want != 412 {
				continue
			}
			var p Problem
			r.into(t, &p)
			if p.Code != "changed_meanwhile" || p.Status != 412 || p.ExitCode != api.ExitConflict || p.Hint == "" {
				t.Errorf("%s: %s", tt.path, r.body)
			}
			switch f.last().(type) {
			case string, api.MembersRequest: // only read
			default:
				t.Errorf("%s: asked %v", tt.path, f.last())
			}
		}
	}
	if r := call(t, a, "POST", prefix+"/sets/nope/rename", `{"name":"n"}`, "If-Match", "*"); r.status != 404 {
		t.Errorf("of a set that is not here: %d", r.status)
	}
}

// renaming is a service that renames.
type renaming struct{ *fake }

func (r renaming) Rename(_ context.Context, q api.RenameRequest) (api.RenameResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets[0].Name = q.Name
	return api.RenameResult{Set: q.Set, Name: q.Name}, nil
}

func (r renaming) Show(_ context.Context, _ string) (api.SetInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sets[0], nil
}

// Of many who read the same, one changes it.
func TestOneOfManyWins(t *testing.T) {
	f := &fake{sets: manySets(1), heard: make(chan struct{})}
	a := New(renaming{f}, Options{})
	t.Cleanup(a.Close)
	tag := call(t, a, "GET", prefix+"/sets/s", "").header.Get("ETag")
	status := make([]int, 20)
	var all sync.WaitGroup
	for i := range status {
		all.Go(func() {
			status[i] = call(t, a, "POST", prefix+"/sets/s/rename", fmt.Sprintf(`{"name":"n%d"}`, i), "If-Match", tag).status
		})
	}
	all.Wait()
	won := 0
	for _, s := range status {
		if s == http.StatusOK {
			won++
		} else if s != http.StatusPreconditionFailed {
			t.Error(s)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d won", won, len(status))
	}
}
