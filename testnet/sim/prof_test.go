package sim
import ("testing";"time";"fmt")
func TestProf(t *testing.T) {
	var lin, run time.Duration
	worst := time.Duration(0)
	for seed := uint64(1); seed <= 300; seed++ {
		a := time.Now()
		r := Run(Options{Seed: seed})
		b := time.Now()
		ok := linearizable(r.History)
		c := time.Since(b)
		run += b.Sub(a); lin += c
		if c > worst { worst = c; fmt.Println(seed, len(r.History), c, ok) }
		if !ok { fmt.Println("BAD", seed, len(r.History), c) }
	}
	fmt.Println(run, lin)
}
