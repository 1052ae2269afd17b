package sim

import (
	"math"
	"time"
)

const forever = time.Duration(math.MaxInt64)

// clock is a node's own: it drifts, jumps, and may stand still while the node is paused.
type clock struct {
	rate  int64         // 1e6 = true
	base  time.Duration // shown at since
	since time.Duration // in the world's time
	froze time.Duration // paused at
	stops bool          // stands still while paused, as in a suspended machine
}

// set makes the clock show t now.
func (c *clock) set(now, t time.Duration) { c.base, c.since = t, now }

// local is what the clock shows.
func (c *clock) local(now time.Duration) time.Duration {
	if c.rate == 1_000_000 {
		return c.base + now - c.since
	}
	return c.base + time.Duration(int64(now-c.since)/1000*c.rate/1000)
}

// world is when the clock shows t, or just after.
func (c *clock) world(t time.Duration) time.Duration {
	if c.rate == 1_000_000 {
		return c.since + t - c.base
	}
	d := int64(t - c.base)
	return c.since + time.Duration(d/c.rate*1_000_000+d%c.rate*1_000_000/c.rate) + 2*time.Microsecond
}

// freeze and thaw are the ends of a pause.
func (c *clock) freeze(now time.Duration, stops bool) { c.froze, c.stops = now, stops }

func (c *clock) thaw(now time.Duration) {
	if c.stops {
		c.since += now - c.froze
	}
}
