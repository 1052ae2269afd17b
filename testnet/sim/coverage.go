package sim

import "fmt"

// Counter is something that happened, counted to show that a run was not vacuous.
type Counter int

// The counters there are.
const (
	Elections     Counter = iota // reigns begun
	Lost                         // candidacies (strict)
	Aborts                       // suspicions answered (ap)
	Accepts                      // heads that became revisions
	Durables                     // heads that became durable
	Merges                       // of two or more heads
	Hidden                       // heads passed over (strict)
	Confirms                     // heads repeated in a new epoch
	Abandons                     // heads given up
	Fenced                       // heads made in an epoch that was superseded elsewhere already
	Refused                      // proposals
	Reads                        // confirmed reads
	Converged                    // moments at which all voters had one new head
	BackupChanges                // of a primary
	Reconfigs
	Voters  // listed or removed
	Revokes // of writers
	Cut     // heads that were taken out of frontiers
	Handovers
	Crashes
	TornSteps // crashes between two actions of one step
	FsyncErrors
	Wipes
	Spoiled // newest states lost
	PutBack // homes, from a copy
	Cured   // homes made new stores after the alarm
	Pauses
	Partitions
	OneWay
	Resets
	Mutes
	Relayed
	LateStates
	Pulled // states
	FetchesFailed
	Alarms
	Clones    // alarms about homes put back
	LiesFound // alarms about a forged head
	TwinConfigs
	counters
)

var counterNames = [counters]string{
	"elections", "lost candidacies", "aborted suspicions", "accepted heads", "durable heads", "merges", "hidden heads",
	"confirmations", "abandonments", "stale heads fenced", "refusals", "confirmed reads", "convergences", "backup changes", "configs",
	"voters changed", "writers revoked", "heads cut", "handovers", "crashes", "torn steps", "fsync errors", "wipes", "states lost", "homes put back", "homes cured", "pauses", "partitions",
	"one-way cuts", "resets", "mutings", "relayed messages", "late states", "pulled states", "failed fetches", "alarms", "clones found", "lies found", "twin configs",
}

func (c Counter) String() string { return counterNames[c] }

// Coverage counts what happened in one run or many.
type Coverage [counters]int

// Add sums o up.
func (c *Coverage) Add(o Coverage) {
	for i, n := range o {
		c[i] += n
	}
}

// floors are the least that a thousand seeds must show, a third to two thirds of what they do: a run below is vacuous.
// Twenty thousand seeds thus have at least 100,000 elections, and 10,000 each of forks merged, one-way cuts, lost
// candidacies, writes lost in a crash and heads of superseded primaries.
var floors = map[Counter]int{
	Elections: 5000, Lost: 3000, Aborts: 500, Accepts: 80000, Durables: 70000, Merges: 500, Hidden: 100, Confirms: 150,
	Abandons: 50, Fenced: 5000, Refused: 20000, Reads: 30000, Converged: 10000, BackupChanges: 4000, Reconfigs: 200,
	Voters: 150, Revokes: 200, Cut: 200, Handovers: 120, Crashes: 2500, TornSteps: 1000, FsyncErrors: 300, Wipes: 350,
	Spoiled: 350, PutBack: 25, Cured: 18, Pauses: 350, Partitions: 1200, OneWay: 500, Resets: 400, Mutes: 400,
	Relayed: 20000, LateStates: 200000, Pulled: 100000, FetchesFailed: 8000, Clones: 18, LiesFound: 40, TwinConfigs: 8,
}

// Vacuous names what happened too rarely in that many seeds.
func (c Coverage) Vacuous(seeds int) []string {
	var short []string
	for i := range counters {
		if want := floors[i] * seeds / 1000; c[i] < want {
			short = append(short, fmt.Sprintf("%v %d, at least %d", i, c[i], want))
		}
	}
	return short
}
