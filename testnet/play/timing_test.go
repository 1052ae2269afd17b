package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// told are the statements of a script in the words a stage says that they begin with, and when, in fake time.
func told(t *testing.T, statements ...script.Statement) (lines []string, s *Stage, err error) {
	t.Helper()
	var mu sync.Mutex
	s = New(Options{Life: t.Context(), Net: &nodes.Net{}, Step: func(at time.Duration, text string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf("%v %s", at, text))
	}})
	for i := range statements {
		statements[i].Line = i + 1
	}
	err = s.Play(t.Context(), &script.Script{Statements: statements})
	return lines, s, err
}

func say(text string, when script.When) script.Statement {
	return script.Statement{Text: "say " + text, When: when, Do: script.Say{Text: text}}
}

func TestStatementsBeginAtTheirMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, s, err := told(t,
			say("now", script.When{}),
			say("after", script.When{After: 2 * time.Second}),
			script.Statement{Text: "wait", Do: script.Wait{For: 500 * time.Millisecond}},
			say("at", script.When{At: 4 * time.Second}),
			say("late", script.When{At: 3 * time.Second}),
			say("last", script.When{After: time.Second}),
		)
		if want := []string{"0s now", "2s after", "2s wait", "4s at", "4s late", "5s last"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
		var kinds []string
		for _, e := range s.Trace().Events {
			kinds = append(kinds, e.Kind)
		}
		if want := []string{trace.Note, trace.Note, trace.Step, trace.Note, trace.Note, trace.Note}; !slices.Equal(kinds, want) {
			t.Errorf("events %q, want %q", kinds, want)
		}
	})
}

// rounds are the moments at which a statement that cannot work was carried out.
func rounds(s *Stage, text string) (at []time.Duration) {
	for _, e := range s.Trace().Events {
		if e.Kind == trace.Failed && strings.HasPrefix(e.Text, text+": ") {
			at = append(at, e.At)
		}
	}
	return at
}

func failing(text string, when script.When) script.Statement {
	return script.Statement{Text: text, When: when, Do: script.Publish{Set: "none"}}
}

func TestRepeatedStatementsGoOnBesideTheOthers(t *testing.T) {
	ms := time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		got, s, err := told(t,
			failing("thrice", script.When{Every: 300 * ms, Times: 3}),
			failing("a while", script.When{Every: 400 * ms, For: 1000 * ms}),
			say("beside", script.When{After: 700 * ms}),
		)
		if want := []string{"0s thrice", "0s a while", "700ms beside"}; err != nil || !sameLines(got, want) {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
		if at, want := rounds(s, "thrice"), []time.Duration{0, 300 * ms, 600 * ms}; !slices.Equal(at, want) {
			t.Errorf("three times at %v, want %v", at, want)
		}
		if at, want := rounds(s, "a while"), []time.Duration{0, 400 * ms, 800 * ms}; !slices.Equal(at, want) {
			t.Errorf("for a second at %v, want %v", at, want)
		}
		if took := s.Trace().Seconds; took != 1.2 { // what repeats for a while ends with the round that would be too late
			t.Errorf("it took %g s", took)
		}
	})
}

func sameLines(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func TestTheLastOfSomeRoundsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, err := told(t, failing("twice", script.When{Every: time.Hour, Times: 2}))
		if took := s.Trace().Seconds; err != nil || took != 3600 {
			t.Errorf("twice, an hour apart, took %g s (%v)", took, err)
		}
	})
}

func TestAWaitInVainEndsTheScriptAndWhatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, s, err := told(t,
			failing("forever", script.When{Every: time.Second, For: time.Hour}),
			script.Statement{Text: "wait in vain", Do: script.Wait{Until: script.There{Set: "none", What: "durable"}, Within: 1500 * time.Millisecond}},
			say("never", script.When{}),
		)
		if err == nil || !strings.Contains(err.Error(), "line 2: wait in vain: not within 1.5s: there is no set \"none\"") {
			t.Errorf("error %v", err)
		}
		if slices.Contains(got, "1.5s never") || len(rounds(s, "forever")) != 2 || s.Trace().Seconds != 1.5 {
			t.Errorf("%q, rounds at %v, took %g s", got, rounds(s, "forever"), s.Trace().Seconds)
		}
		if err := pass(t.Context(), 10*time.Second); err != nil || len(rounds(s, "forever")) != 2 {
			t.Errorf("afterwards rounds at %v (%v)", rounds(s, "forever"), err)
		}
	})
}

func TestAScriptEndsWithItsContext(t *testing.T) {
	for name, last := range map[string]script.Statement{
		"in a statement":    {Text: "wait", Do: script.Wait{For: time.Hour}},
		"before a moment":   say("late", script.When{At: time.Hour}),
		"after the last of": say("now", script.When{}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
				defer cancel()
				s := bare(1)
				sc := &script.Script{Statements: []script.Statement{failing("forever", script.When{Every: time.Second, For: time.Hour}), last}}
				if err := s.Play(ctx, sc); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
				if took := s.Trace().Seconds; took != 3.5 {
					t.Errorf("it took %g s", took)
				}
			})
		})
	}
}

func TestCloseEndsWhatRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		if err := s.Do(t.Context(), failing("forever", script.When{Every: time.Second, For: time.Hour})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Close() // a goroutine that stays fails the test
		if at := rounds(s, "forever"); len(at) != 1 {
			t.Errorf("rounds at %v", at)
		}
	})
}

func TestExpectLooksAsLongAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		x := withSet(s, "docs", revision(1, 0, "origin"))
		time.AfterFunc(990*time.Millisecond, func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.last.Durable = true
		})
		durable := script.There{Set: "docs", What: "durable"}
		for i, e := range []script.Expect{{What: durable}, {What: durable, Within: 500 * time.Millisecond}, {What: durable, Within: time.Hour}, {What: durable}} {
			err := s.Do(t.Context(), script.Statement{Line: 3, Text: "expect", Do: e})
			if (err != nil) != (i < 2) || err != nil && !errors.Is(err, ErrFailed) {
				t.Errorf("expectation %d: %v", i, err)
			}
		}
		var got []string
		for _, c := range s.Trace().Checks {
			got = append(got, fmt.Sprintf("%v %.2f %d %s", c.OK, c.Seconds, c.Line, c.Detail))
		}
		want := []string{
			"false 0.00 0 revision 1 is on origin alone",
			"false 0.50 0 revision 1 is on origin alone",
			"true 0.50 0 after 0.50 s",
			"true 0.00 0 ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("checks\n%q, want\n%q", got, want)
		}
	})
}

func TestExpectThatIsEndedIsNoCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Do(ctx, script.Statement{Text: "expect", Do: script.Expect{What: script.There{Set: "none", What: "durable"}, Within: time.Hour}})
		if !errors.Is(err, context.DeadlineExceeded) || len(s.Trace().Checks) > 0 {
			t.Errorf("error %v, checks %v", err, s.Trace().Checks)
		}
	})
}

func TestTransfersThatDoNotEndAreFailedChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bare(1)
		j, life := s.job("get", "edge", "docs"), s.life()
		s.background.Go(func() {
			<-life.Done()
			j.end()
		})
		s.job("get", "fast", "docs").end()
		if err := s.Play(t.Context(), &script.Script{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		tr := s.Trace()
		if len(tr.Checks) != 1 || tr.Checks[0].OK || tr.Checks[0].Name != "get of docs at edge ends" || tr.Seconds != waitPatience.Seconds() {
			t.Errorf("after %g s: %+v", tr.Seconds, tr.Checks)
		}
		if s.life().Err() != nil {
			t.Error("a stage whose script has ended begins nothing more")
		}
	})
}

// Somebody may type a statement just when a script is about to end.
func TestMoreMayBeginWhileSomebodyWaits(t *testing.T) {
	var c crew
	var ran atomic.Int64
	const times = 100_000 // a sync.WaitGroup panics before the thousandth
	var group sync.WaitGroup
	group.Go(func() {
		for ran.Load() < times {
			c.Wait()
		}
	})
	for range times {
		c.Go(func() { ran.Add(1) })
	}
	group.Wait()
	c.Wait()
	if n := ran.Load(); n != times || c.n != 0 {
		t.Errorf("%d of %d ran when nobody was to be waited for any more", n, times)
	}
}

func TestACrewIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crew
		began := time.Now()
		c.Wait() // for nobody
		for _, d := range []time.Duration{2, 5, 3} {
			c.Go(func() { _ = pass(t.Context(), d*time.Second) })
		}
		c.Wait()
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("waited for %v", d)
		}
		c.Go(func() { _ = pass(t.Context(), time.Second) })
		c.Wait()
		if d := time.Since(began); d != 6*time.Second {
			t.Errorf("waited for %v", d)
		}
	})
}
