package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/chunk"
)

// checkRuns holds runs against what a run is, found by brute force.
func checkRuns(t fataler, old, new []blockstore.Leaf, runs []Run) {
	t.Helper()
	covered := make([]bool, len(new))
	for k, r := range runs {
		if r.New.N < 1 || r.New.First < 0 || r.New.First+r.New.N > len(new) {
			t.Fatalf("run %d is %v of %d", k, r, len(new))
		}
		if k > 0 {
			if end := runs[k-1].New.First + runs[k-1].New.N; r.New.First < end ||
				r.New.First == end && slices.Equal(r.Base, runs[k-1].Base) {
				t.Fatalf("run %v after %v", r, runs[k-1])
			}
		}
		for i := range r.New.N {
			covered[r.New.First+i] = true
		}
		for i, b := range r.Base {
			if b < 0 || b >= len(old) || len(r.Base) > MaxBases || i > 0 && b <= r.Base[i-1] {
				t.Fatalf("bases %v of %d", r.Base, len(old))
			}
		}
	}
	in := map[blockstore.Leaf]bool{}
	for _, l := range old {
		in[l] = true
	}
	for i, l := range new {
		if covered[i] == in[l] {
			t.Fatalf("place %d: in a run %v, in the old file %v; runs %v", i, covered[i], in[l], runs)
		}
	}
}

func TestRunsAreWhatIsNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.IntRange(0, rapid.SampledFrom([]int{3, 30, 1000}).Draw(t, "kinds")), 0, 60)
		old := leavesOf(numbers.Draw(t, "old")...)
		new := leavesOf(numbers.Draw(t, "new")...)
		runs := Runs(old, new)
		checkRuns(t, old, new, runs)
		if again := Runs(old, new); !slices.EqualFunc(runs, again, equalRuns) {
			t.Fatalf("once %v, then %v", runs, again)
		}
	})
}

func equalRuns(a, b Run) bool { return a.New == b.New && slices.Equal(a.Base, b.Base) }

// TestOverwritesFindTheirLeaf: where leaves were replaced one for one, each has the one it replaced among its
// bases, and has it alone if its neighbours are unchanged.
func TestOverwritesFindTheirLeaf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 80).Draw(t, "leaves")
		old := leavesOf(seq(0, n)...)
		new := slices.Clone(old)
		hit := map[int]bool{}
		for range rapid.IntRange(1, n).Draw(t, "overwrites") {
			at := rapid.IntRange(0, n-1).Draw(t, "at")
			new[at].Cid = leafOf(1000 + at).Cid
			hit[at] = true
		}
		runs := Runs(old, new)
		checkRuns(t, old, new, runs)
		for _, r := range runs {
			for i := r.New.First; i < r.New.First+r.New.N; i++ {
				alone := !hit[i-1] && !hit[i+1]
				if !slices.Contains(r.Base, i) || alone && len(r.Base) != 1 {
					t.Fatalf("place %d has the bases %v", i, r.Base)
				}
			}
		}
	})
}

func TestRunsByCase(t *testing.T) {
	hundred := seq(0, 100)
	edit := func(at, cut int, put ...int) []int { return slices.Replace(slices.Clone(hundred), at, at+cut, put...) }
	zeros := func(n int) []int { return make([]int, n) }
	for _, c := range []struct {
		name     string
		old, new []int
		want     string
	}{
		{"nothing", nil, nil, "[]"},
		{"unchanged", hundred, hundred, "[]"},
		{"first version", nil, seq(0, 3), "[{{0 3} []}]"},
		{"everything gone", hundred, nil, "[]"},
		{"only leaf overwritten", seq(0, 1), seq(500, 1), "[{{0 1} [0]}]"},
		{"overwritten", hundred, edit(40, 1, 500), "[{{40 1} [40]}]"},
		{"first and last overwritten", hundred, slices.Concat([]int{500}, seq(1, 98), []int{501}), "[{{0 1} [0]} {{99 1} [99]}]"},
		{"inserted inside a leaf", hundred, edit(40, 1, 500, 501, 502), "[{{40 3} [40]}]"},
		{"long insertion inside a leaf", hundred, edit(40, 1, seq(500, 20)...), "[{{40 2} [40]} {{42 16} []} {{58 2} [40]}]"},
		{"inserted between leaves", hundred, edit(40, 0, 500), "[{{40 1} []}]"},
		{"inserted in front", hundred, edit(0, 1, 500, 501), "[{{0 2} [0]}]"},
		{"appended", hundred, edit(99, 1, seq(500, 10)...), "[{{99 2} [99]} {{101 7} []} {{108 1} [99]}]"},
		{"appended to a leaf that grows", hundred, edit(99, 1, seq(505, 10)...), "[{{99 1} [99]} {{100 9} []}]"},
		{"appended within the last leaf", hundred, edit(99, 1, 505), "[{{99 1} [99]}]"},
		{"appended to an only leaf", seq(99, 1), seq(505, 3), "[{{0 1} [0]} {{1 2} []}]"},
		{"appended behind the last leaf", hundred, edit(100, 0, 500, 501), "[{{100 2} []}]"},
		{"appended and edited before", hundred, slices.Concat(edit(40, 1, 501)[:99], seq(505, 3)), "[{{40 1} [40]} {{99 1} [99]} {{100 2} []}]"},
		{"appended and edited at the end", hundred, edit(98, 2, seq(505, 4)...), "[{{98 4} [98 99]}]"},
		{"deleted inside a leaf", hundred, edit(40, 2, 500), "[{{40 1} [40 41]}]"},
		{"deleted from inside one leaf to inside another", hundred, edit(20, 60, 500), "[{{20 1} [20 79]}]"},
		{"whole leaves deleted", hundred, edit(20, 60), "[]"},
		{"halves swapped", hundred, slices.Concat(hundred[50:], hundred[:50]), "[]"},
		{
			"halves swapped and edited", hundred,
			slices.Concat(hundred[50:70], []int{500}, hundred[71:], hundred[:20], []int{501}, hundred[21:50]),
			"[{{20 1} [70]} {{70 1} [20]}]",
		},
		{"duplicates around", []int{0, 0, 0, 7, 0, 0}, []int{0, 0, 0, 8, 0, 0}, "[{{3 1} [3]}]"},
		{"a duplicate in front of an anchor", []int{0, 7, 0, 1}, []int{8, 0, 1}, "[{{0 1} [0 1]}]"},
		{"duplicates alone", []int{5, 0, 6, 0, 4}, []int{15, 0, 16, 0, 14}, "[{{0 1} [0]} {{2 1} [2]} {{4 1} [4]}]"},
		{"a changed copy inside", []int{1, 2, 1, 2}, []int{1, 9, 1, 2}, "[{{1 1} [1]}]"},
		{"more zeros", slices.Concat(zeros(5), []int{7}), slices.Concat(zeros(9), []int{8}), "[{{9 1} [5]}]"},
		{"everything rewritten", seq(0, 5), seq(500, 5), "[{{0 1} [0]} {{1 1} [1]} {{2 1} [2]} {{3 1} [3]} {{4 1} [4]}]"},
		{"everything rewritten with other sizes", seq(0, 5), seq(501, 5), "[{{0 1} [0 1]} {{1 1} [0 1 2]} {{2 1} [1 2 3]} {{3 1} [2 3 4]} {{4 1} [3 4]}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, new := leavesOf(c.old...), leavesOf(c.new...)
			runs := Runs(old, new)
			checkRuns(t, old, new, runs)
			if got := fmt.Sprint(runs); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestAppendsHaveOneBase: of a file that was cut by content and grew at its end, one leaf at most has a base, and
// that is the old last leaf, which lies in it whole.
func TestAppendsHaveOneBase(t *testing.T) {
	cutter, err := chunk.New(chunk.Params{Min: 64, Avg: 512, Max: 2048})
	if err != nil {
		t.Fatal(err)
	}
	cut := func(data []byte) (leaves []blockstore.Leaf) {
		for len(data) > 0 {
			n := cutter.Cut(data, true)
			leaves = append(leaves, blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, data[:n]), Size: uint32(n)})
			data = data[n:]
		}
		return leaves
	}
	rapid.Check(t, func(t *rapid.T) {
		data := make([]byte, rapid.IntRange(1, 20_000).Draw(t, "bytes"))
		rand.NewChaCha8([32]byte{rapid.Byte().Draw(t, "seed")}).Read(data)
		at := rapid.IntRange(0, len(data)).Draw(t, "old")
		old, new := cut(data[:at]), cut(data)
		runs := Runs(old, new)
		checkRuns(t, old, new, runs)
		for _, r := range runs {
			if len(r.Base) == 0 {
				continue
			}
			if last := len(old) - 1; !slices.Equal(r.Base, []int{last}) || r.New != (Span{last, 1}) || new[last].Size <= old[last].Size {
				t.Fatalf("%d bytes appended to %d: run %v", len(data)-at, at, r)
			}
		}
	})
}

func FuzzRuns(f *testing.F) {
	f.Add([]byte("abcdefgh"), []byte("abcXefgh"))
	f.Add([]byte("aaaabaaaa"), []byte("aaaacaaaaa"))
	f.Add([]byte(""), []byte("abc"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		leaves := func(s []byte) (l []blockstore.Leaf) {
			for _, c := range s[:min(len(s), 2000)] {
				leaf := leafOf(int(c))
				if c >= 200 { // as large, or as small, as leaves get
					leaf.Size = 1 + uint32(c%2)*(blockstore.MaxBlockSize-1)
				}
				l = append(l, leaf)
			}
			return l
		}
		checkRuns(t, leaves(a), leaves(b), Runs(leaves(a), leaves(b)))
	})
}

func BenchmarkRuns(b *testing.B) {
	old := leavesOf(seq(0, 4096)...) // 1 GiB
	new := slices.Clone(old)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 64 {
		new[random.IntN(len(new))] = leafOf(10_000 + i)
	}
	for b.Loop() {
		Runs(old, new)
	}
}
