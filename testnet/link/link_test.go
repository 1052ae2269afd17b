package link

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPlanRoundTrip(t *testing.T) {
	home := t.TempDir()
	if p, err := read(home); err != nil || !reflect.DeepEqual(p, Plan{}) {
		t.Fatalf("a home without a plan: %+v, %v", p, err)
	}
	want := Plan{Seed: 7, Peers: map[string]string{"127.0.0.1:4001": "a"}, Up: 1, Down: 2, Lies: true, Full: true,
		Out: map[string]Rule{"a": {Latency: 20 * time.Millisecond, Jitter: 1, Loss: 0.01, Rate: 5}},
		In:  map[string]Rule{"a": {Cut: true}}}
	must(t, Write(home, want))
	if got, err := read(home); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	st, err := os.Stat(filepath.Join(home, planFile))
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("the plan has mode %v", st.Mode())
	}
}

func TestBadPlans(t *testing.T) {
	home := t.TempDir()
	for name, p := range map[string]Plan{
		"negative rate of all":    {Up: -1},
		"negative rate of a link": {Out: map[string]Rule{"a": {Rate: -1}}},
		"negative latency":        {In: map[string]Rule{"a": {Latency: -1}}},
		"latency of a day":        {In: map[string]Rule{"a": {Latency: 24 * time.Hour}}},
		"negative jitter":         {Out: map[string]Rule{"a": {Jitter: -1}}},
		"loss above 1":            {Out: map[string]Rule{"a": {Loss: 1.1}}},
		"loss that is no number":  {Out: map[string]Rule{"a": {Loss: math.NaN()}}},
	} {
		if err := Write(home, p); !errors.Is(err, ErrBadPlan) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{", "[]", `{"up":-1}`, `{"up":1e99}`, `{"out":{"a":{"latency":"20ms"}}}`, strings.Repeat(" ", maxPlan+1)} {
		if _, err := parse([]byte(text)); !errors.Is(err, ErrBadPlan) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// FuzzPlan: no file makes a node fall over, and what is accepted can be gone by.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"seed":1,"peers":{"127.0.0.1:1":"a"},"out":{"a":{"latency":1,"jitter":2,"loss":0.5,"rate":3,"cut":true}},"up":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parse(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		must(t, err)
		q, err := parse(again)
		must(t, err)
		if b, err := json.Marshal(q); err != nil || string(b) != string(again) {
			t.Errorf("%s is read as %s: %v", again, b, err)
		}
		newState(p, newState(p, nil)).end()
	})
}

// running is a bed whose Run goes on until the test ends.
func running(t *testing.T, home string) *Bed {
	t.Helper()
	b, err := Open(home, quiet)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
	<-b.Listening()
	return b
}

func TestTell(t *testing.T) {
	for name, sub := range map[string]string{"short path": "", "long path": strings.Repeat("long/", 30)} {
		t.Run(name, func(t *testing.T) {
			ctx, home := t.Context(), filepath.Join(t.TempDir(), sub)
			must(t, os.MkdirAll(home, 0o700))
			must(t, os.MkdirAll(filepath.Dir(socket(home)), 0o700)) // as the API's socket has it made
			if err := Tell(ctx, home); !errors.Is(err, ErrNotRunning) {
				t.Errorf("telling nobody: %v", err)
			}
			must(t, Write(home, Plan{Lies: true}))
			b := running(t, home)
			if !b.Lies() || b.Full() {
				t.Error("the plan is not in force after Open")
			}
			must(t, Write(home, Plan{Full: true}))
			must(t, Tell(ctx, home))
			if b.Lies() || !b.Full() {
				t.Error("the plan is not in force when Tell returns")
			}
			must(t, os.WriteFile(filepath.Join(home, planFile), []byte("{\n"), 0o600))
			if err := Tell(ctx, home); !errors.Is(err, ErrBadPlan) {
				t.Errorf("telling nonsense: %v", err)
			}
			if !b.Full() {
				t.Error("a plan that is not understood took the place of a good one")
			}
		})
	}
}

// TestTellBeforeRun: a plan that is written while nobody can be told yet is in force once somebody can.
func TestTellBeforeRun(t *testing.T) {
	home := t.TempDir()
	b, err := Open(home, quiet)
	must(t, err)
	must(t, Write(home, Plan{Full: true}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	<-b.Listening()
	if !b.Full() {
		t.Error("the plan is not in force")
	}
	cancel()
	<-ended
	if err := Tell(t.Context(), home); !errors.Is(err, ErrNotRunning) {
		t.Errorf("telling a node that has ended: %v", err)
	}
}

func TestOpenRefusesBadPlan(t *testing.T) {
	home := t.TempDir()
	must(t, os.WriteFile(filepath.Join(home, planFile), []byte(`{"up":-1}`), 0o600))
	if _, err := Open(home, quiet); !errors.Is(err, ErrBadPlan) {
		t.Errorf("Open: %v", err)
	}
}

// TestBucketsOutliveChanges: a change of the plan gives nobody bandwidth whom it does not concern.
func TestBucketsOutliveChanges(t *testing.T) {
	plan := Plan{Peers: map[string]string{"x:1": "a", "x:2": "a"}, Out: map[string]Rule{"a": {Rate: 5}}, Up: 7}
	b := &Bed{}
	b.apply(plan)
	before := b.lane("x:1", outward)
	if b.lane("x:2", outward).link != before.link || b.lane("x:3", outward).total != before.total || before.total == nil {
		t.Error("what should share a rate does not")
	}
	if b.lane("x:1", inward).link != nil || !b.lane("x:1", inward).plain() || !b.lane("", inward).plain() {
		t.Error("what nothing is said of is not plain")
	}
	plan.In = map[string]Rule{"a": {Cut: true}}
	b.apply(plan)
	after := b.lane("x:1", outward)
	if after.link != before.link || after.total != before.total {
		t.Error("a bucket was made anew though its rate stayed")
	}
	select {
	case <-before.gone:
	default:
		t.Error("who waits by the old plan is not woken")
	}
	plan.Up = 8
	b.apply(plan)
	if b.lane("x:1", outward).total == before.total {
		t.Error("a bucket stayed though its rate changed")
	}
}
