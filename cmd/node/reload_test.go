package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

// What compare says of two readings is said of each key that differs, once, and of no other.
func TestCompareNamesWhatDiffers(t *testing.T) {
	names := keyNames()
	rapid.Check(t, func(t *rapid.T) {
		before, after, differs := values{}, values{}, map[string]bool{}
		for _, n := range names {
			before[n], after[n] = any(n), any(n)
			if rapid.Bool().Draw(t, n) {
				after[n], differs[n] = []string{n}, true
			}
		}
		c := compare(before, after)
		all := append(slices.Clone(c.live), c.later...)
		slices.Sort(all)
		if !slices.Equal(all, slices.Sorted(maps.Keys(differs))) {
			t.Fatalf("%v and %v, want %v", c.live, c.later, differs)
		}
		for _, k := range settingKeys() {
			if k.live && slices.Contains(c.later, k.name) || !k.live && slices.Contains(c.live, k.name) {
				t.Fatalf("%s is on the wrong side", k.name)
			}
		}
	})
}

// boundedNode is a node whose limits change, or do not.
type boundedNode struct {
	asked []api.LimitsRequest
	err   error
}

func (b *boundedNode) Limits(context.Context) (api.Limits, error) { return api.Limits{}, b.err }

func (b *boundedNode) SetLimits(_ context.Context, q api.LimitsRequest) (api.Limits, error) {
	b.asked = append(b.asked, q)
	return api.Limits{}, b.err
}

func TestRelimitChangesWhatChanged(t *testing.T) {
	now := node.TransferConfig{Up: 5, Down: 0, LANExempt: true}
	for _, tt := range []struct {
		changed []string
		want    []api.LimitsRequest
	}{
		{nil, nil},
		{[]string{"log.level"}, nil},
		{[]string{"transfer.up"}, []api.LimitsRequest{{Up: &now.Up}}},
		{[]string{"log.level", "transfer.down", "transfer.lan_exempt"}, []api.LimitsRequest{{Down: &now.Down, LANExempt: &now.LANExempt}}},
	} {
		var n boundedNode
		if err := relimit(t.Context(), &n, tt.changed, now); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, n.asked); d != "" {
			t.Errorf("%v: %s", tt.changed, d)
		}
	}
	n := boundedNode{err: errors.New("gone")}
	if err := relimit(t.Context(), &n, []string{"transfer.up"}, now); !errors.Is(err, n.err) {
		t.Errorf("%v, want %v", err, n.err)
	}
}
