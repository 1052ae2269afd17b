package play

import (
	"slices"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/testnet/link"
	"github.com/shoal-p2p/shoal/testnet/nodes"
)

func TestSlowness(t *testing.T) {
	s := nodes.Shape{Up: map[string]int64{"a": 500, "b": 0}, Down: map[string]int64{"a": 700}, Lies: map[string]bool{"c": true}, Rules: map[[2]string]link.Rule{
		{"a", "b"}: {Latency: 2 * time.Millisecond, Rate: 900}, {"b", "a"}: {Latency: 3500 * time.Microsecond}, {"b", "c"}: {Cut: true}}}
	for name, want := range map[string]struct {
		delay float64
		rate  int64
		harm  []string
	}{
		"a": {3.5, 500, []string{"to b latency 2ms rate 900 B/s", "uplink 500 B/s", "downlink 700 B/s"}},
		"b": {3.5, 900, []string{"to a latency 3.5ms", "to c cut"}},
		"c": {0, 0, []string{"liar"}},
		"d": {},
	} {
		if delay, rate := slowness(s, name); delay != want.delay || rate != want.rate {
			t.Errorf("%s is %v ms late and carries %d, want %v and %d", name, delay, rate, want.delay, want.rate)
		}
		if harm := ill(s)[name]; !slices.Equal(harm, want.harm) {
			t.Errorf("%s: %q, want %q", name, harm, want.harm)
		}
	}
}
