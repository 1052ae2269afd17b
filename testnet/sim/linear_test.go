package sim

import (
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the sequential model of a strict set: a publish replaces what reads see.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, output any) (bool, any) {
			if input == nil {
				return output == state, state
			}
			return true, input
		},
	}
}

// operations gives a history to porcupine. What was never answered may take effect at any time after it was asked.
func operations(history []Op) []porcupine.Operation {
	ops := make([]porcupine.Operation, 0, len(history))
	for i, o := range history {
		p := porcupine.Operation{ClientId: i, Call: int64(o.Asked), Return: int64(o.Answered)}
		if o.Answered < 0 {
			p.Return = math.MaxInt64
		}
		if o.Read {
			p.Output = o.Value
		} else {
			p.Input = o.Value
		}
		ops = append(ops, p)
	}
	return ops
}

// linearizable searches for an order of a history that a register explains. A search that takes longer than any
// has taken so far, by a factor of a thousand, counts as failed.
func linearizable(history []Op) bool {
	return porcupine.CheckOperationsTimeout(register(), operations(history), 2*time.Second) == porcupine.Ok
}

func TestLinearizable(t *testing.T) {
	s := time.Second
	publish := func(v uint64, asked, answered time.Duration) Op {
		return Op{Value: v, Asked: asked, Answered: answered}
	}
	read := func(v uint64, asked, answered time.Duration) Op {
		return Op{Read: true, Value: v, Asked: asked, Answered: answered}
	}
	cases := []struct {
		name string
		ops  []Op
		want bool
	}{
		{"one after the other", []Op{read(0, 0, s), publish(1, 2*s, 3*s), read(1, 4*s, 5*s)}, true},
		{"at the same time", []Op{publish(1, 0, 9*s), read(0, s, 2*s), read(1, 3*s, 4*s)}, true},
		{"never answered, and seen", []Op{publish(1, 0, -1), read(1, 3*s, 4*s)}, true},
		{"stale", []Op{publish(1, 0, s), publish(2, 2*s, 3*s), read(1, 4*s, 5*s)}, false},
		{"back again", []Op{publish(1, 0, 9*s), read(1, s, 2*s), read(0, 3*s, 4*s)}, false},
		{"lost", []Op{publish(1, 0, s), read(0, 2*s, 3*s)}, false},
	}
	for _, c := range cases {
		if got := linearizable(c.ops); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// examine plays a seed, and looks at what its clients saw.
func examine(o Options) Result {
	r := Run(o)
	if r.Violation == nil && !linearizable(r.History) {
		r.Violation = &Violation{Invariant: "linear", At: r.Simulated, Detail: "what clients saw is not linearizable"}
	}
	return r
}
