package testnet

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
)

var (
	rounds = flag.Int("rounds", 0, "how often every scenario is played; 0 = two short ones once")
	only   = flag.String("scenario", "", "play this one only")
)

// The scenarios that come with the program hold, whatever the seed.
func TestScenarios(t *testing.T) {
	for _, s := range Scenarios() {
		short := s.Name == "kill-the-primary" || s.Name == "liars"
		if s.Name == "demo" || *only != "" && s.Name != *only || *rounds == 0 && !short {
			continue // the demo has a test of its own
		}
		t.Run(s.Name, func(t *testing.T) {
			for round := range max(*rounds, 1) {
				var out bytes.Buffer
				err := Run(t.Context(), RunOptions{Name: s.Name, Text: s.Text, Exe: binary, Seed: uint64(round + 1), Out: &out})
				if err != nil {
					t.Fatalf("seed %d: %v\n%s", round+1, err, out.String())
				}
				t.Logf("seed %d: %s", round+1, out.String()[strings.LastIndex(strings.TrimSpace(out.String()), "\n")+1:])
			}
		})
	}
}

// Every scenario says what it teaches, and there is no other by its name.
func TestScenariosAreDescribed(t *testing.T) {
	all := Scenarios()
	if len(all) < 11 {
		t.Fatalf("%d scenarios", len(all))
	}
	for _, s := range all {
		if len(s.About) < 40 || len(s.Text) == 0 {
			t.Errorf("%s is not described: %q", s.Name, s.About)
		}
	}
	if _, err := Named("demo"); err != nil {
		t.Error(err)
	}
	if _, err := Named("none"); !errors.Is(err, ErrNoScenario) {
		t.Errorf("%v", err)
	}
}
