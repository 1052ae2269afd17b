package oracle

import (
	"strings"
	"testing"
)

func TestLost(t *testing.T) {
	base := map[string]string{"a": "a0", "b": "b0", "sub/c": "c0"}
	// A step is: who changes what, and whether it was called durable.
	type step struct {
		who    string
		change map[string]string
		local  bool
	}
	for name, c := range map[string]struct {
		steps []step
		final map[string]string // of the base: what is changed in the end
		want  string
	}{
		"all there":                {[]step{{"x", map[string]string{"a": "a1"}, false}}, map[string]string{"a": "a1"}, ""},
		"taken back":               {[]step{{"x", map[string]string{"a": "a1"}, false}}, nil, "a"},
		"a new file is gone":       {[]step{{"x", map[string]string{"d/e": "e0"}, false}}, nil, "d/e"},
		"of the first revision":    {nil, map[string]string{"b": "-"}, "b"},
		"not durable":              {[]step{{"x", map[string]string{"a": "a1"}, true}}, nil, ""},
		"changed again":            {[]step{{"x", map[string]string{"a": "a1"}, false}, {"x", map[string]string{"a": "a2"}, false}}, map[string]string{"a": "a2"}, ""},
		"the last change is gone":  {[]step{{"x", map[string]string{"a": "a1"}, false}, {"x", map[string]string{"a": "a2"}, false}}, map[string]string{"a": "a1"}, "a"},
		"changed again, refused":   {[]step{{"x", map[string]string{"a": "a1"}, false}, {"x", map[string]string{"a": "a2"}, true}}, nil, ""},
		"changed back":             {[]step{{"x", map[string]string{"a": "a1"}, false}, {"x", map[string]string{"a": "a0"}, false}}, nil, ""},
		"removed":                  {[]step{{"x", map[string]string{"a": "a1"}, false}, {"x", map[string]string{"a": "-"}, false}}, map[string]string{"a": "-"}, ""},
		"moved":                    {[]step{{"x", map[string]string{"a": "-", "z": "a0"}, false}}, map[string]string{"a": "-", "z": "a0"}, ""},
		"two sides, both there":    {[]step{{"x", map[string]string{"a": "a1"}, false}, {"y", map[string]string{"b": "b1"}, false}}, map[string]string{"a": "a1", "b": "b1"}, ""},
		"two sides, one lost":      {[]step{{"x", map[string]string{"a": "a1"}, false}, {"y", map[string]string{"b": "b1"}, false}}, map[string]string{"b": "b1"}, "a"},
		"one file, as a copy":      {[]step{{"x", map[string]string{"a": "a1"}, false}, {"y", map[string]string{"a": "a2"}, false}}, map[string]string{"a": "a1", "a.conflict-abc-1": "a2"}, ""},
		"one file, no copy":        {[]step{{"x", map[string]string{"a": "a1"}, false}, {"y", map[string]string{"a": "a2"}, false}}, map[string]string{"a": "a1"}, "a"},
		"the other one may be had": {[]step{{"x", map[string]string{"a": "a1"}, false}, {"y", map[string]string{"a": "a2"}, false}}, map[string]string{"a": "a2"}, ""},
		"moved here, edited there": {[]step{{"x", map[string]string{"a": "-", "z": "a0"}, false}, {"y", map[string]string{"a": "a1"}, false}}, map[string]string{"a": "-", "z": "a1"}, ""},
		"had from the other": {[]step{{"x", map[string]string{"a": "a1"}, false}, {"y", map[string]string{"a": "a1", "b": "b1"}, false}},
			map[string]string{"b": "b1"}, "a"},
		"an old state of the other's": {[]step{{"x", map[string]string{"a": "a1"}, false}, {"x", map[string]string{"a": "a2"}, false}, {"y", map[string]string{"a": "a1"}, false}},
			map[string]string{"a": "a2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := New()
			dirs := map[string]string{"x": tree(t, base), "y": tree(t, base)}
			for _, who := range []string{"x", "y"} {
				o.Acknowledge("docs", publish(t, o, dirs[who]))
			}
			for _, s := range c.steps {
				change(t, dirs[s.who], s.change)
				if snap := publish(t, o, dirs[s.who]); !s.local {
					o.Acknowledge("docs", snap)
				}
			}
			final := tree(t, base)
			change(t, final, c.final)
			all, err := o.Lost(t.Context(), "docs", final)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range all {
				got = append(got, w.Path)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("lost is %q, not %q", text, c.want)
			}
		})
	}
}

// What is acknowledged late does not come before what was published later.
func TestAcknowledgedLate(t *testing.T) {
	o := New()
	dir := tree(t, map[string]string{"a": "a0"})
	first := publish(t, o, dir)
	change(t, dir, map[string]string{"a": "a1"})
	o.Acknowledge("docs", publish(t, o, dir))
	o.Acknowledge("docs", first)
	if all, err := o.Lost(t.Context(), "docs", dir); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// What was allowed before it was published is new when it is, and may be on disks before.
func TestAllowed(t *testing.T) {
	o := New()
	dir := tree(t, map[string]string{"a": "a0"})
	o.Acknowledge("docs", publish(t, o, dir))
	aside := tree(t, map[string]string{"a": "a1", "sub/new": "n"})
	reader := tree(t, map[string]string{"a": "a1", "sub/new": "n"})
	if got := paths(t, o, reader, nil); got != "a sub/new" {
		t.Errorf("before: wrong is %q", got)
	}
	for _, path := range []string{"a", "sub/new"} {
		if err := o.Allow("docs", aside, path); err != nil {
			t.Fatal(err)
		}
	}
	if got := paths(t, o, reader, nil); got != "" {
		t.Errorf("after: wrong is %q", got)
	}
	if err := o.Allow("docs", aside, "gone"); err == nil {
		t.Error("a file that is not there was allowed")
	}
	change(t, dir, map[string]string{"a": "a1"})
	o.Acknowledge("docs", publish(t, o, dir))
	all, err := o.Lost(t.Context(), "docs", tree(t, map[string]string{"a": "a0"}))
	if err != nil || len(all) != 1 || all[0].Path != "a" {
		t.Errorf("lost: %+v, %v", all, err)
	}
}
