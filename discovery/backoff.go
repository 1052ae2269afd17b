package discovery

import "time"

// jittered spreads d by a fifth to either side, so that nodes that lost the same peer in the same
// instant do not all return in the same instant. r is uniform in [0, 1).
func jittered(d time.Duration, r float64) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*r))
}

// Backoff is the pause before dial attempt number try (from 0) after a connection was lost. It starts
// short because most losses are a restart or a moment's cut, and stays at ten seconds so that a healed
// partition is noticed within that; after some five minutes without an answer it is 30 s, which costs an
// idle node two packets a minute for each missing peer. r is uniform in [0, 1).
func Backoff(try int, r float64) time.Duration {
	steps := [...]time.Duration{
		200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
	}
	switch {
	case try < 0:
		return jittered(steps[0], r)
	case try < len(steps):
		return jittered(steps[try], r)
	case try < 35: // 30 attempts, five minutes
		return jittered(10*time.Second, r)
	}
	return jittered(30*time.Second, r)
}

// announcePause is the time until a key is announced again: done counts successes in a row, failed
// failures in a row. Early repeats reach peers that joined right after the first announcement, and
// bring records back that a restarted server lost (they live in memory); from then on every two to
// three hours, well within the validity of a record (see package dht). r is uniform in [0, 1).
func announcePause(done, failed int, r float64) time.Duration {
	if failed > 0 {
		if failed > 6 {
			failed = 6 // at most 32 s: a lookup in a swarm that is away costs little
		}
		return jittered(time.Second<<(failed-1), r)
	}
	early := [...]time.Duration{time.Minute, 10 * time.Minute, 40 * time.Minute}
	if done >= 1 && done <= len(early) {
		return jittered(early[done-1], r)
	}
	return 2*time.Hour + time.Duration(r*float64(time.Hour))
}
