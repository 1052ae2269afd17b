package testnet

import "testing"

// The middle of the fetches is reached once, by their average, also when one of them begins again.
func TestMiddleOfFetches(t *testing.T) {
	f := &fetches{part: make([]float64, 2), middle: make(chan struct{})}
	for _, step := range []struct {
		reader   int
		part     float64
		middle   bool
		complete int
	}{{0, 0.3, false, 0}, {1, 0.4, false, 0}, {0, 0.5, true, 0}, {0, 0.1, true, 0}, {0, 1, true, 1}, {1, 1, true, 2}} {
		f.reached(step.reader, step.part)
		middle := false
		select {
		case <-f.middle:
			middle = true
		default:
		}
		if _, complete := f.state(); middle != step.middle || complete != step.complete {
			t.Fatalf("after %+v: middle %v, %d complete", step, middle, complete)
		}
	}
}
