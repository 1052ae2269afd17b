// Package election decides who orders the revisions of a set, and what is durable: a pure core. It starts
// nothing, reads no clock and does no I/O; a shell feeds it events and carries out its actions.
//
// Terms: a member is one voter's part in one set. Heads are ordered by version vectors that count heads by the
// store of the primary that made them. A frontier is the set of maximal heads: Known of those heard of, Have
// of those whose blocks are all on disk. An epoch is one reign, owned by the store that made it.
//
// Safety is a CRDT: frontiers only grow, whoever is primary. The primary orders heads, merges what a partition
// split and says what is durable; losing it, or having two, delays things and loses nothing durable. In ap a
// candidate promotes itself, and a head is durable once it is on the backup's disk too. In strict a majority
// grants each epoch, its primary first absorbs what that majority has, and durable is what a majority has: all
// durable heads are one line. What lost to it is hidden: covered, not merged.
//
// The rules, and where they are:
//
//	 1 epochs grow; a higher one ends a reign           epoch.go      adopt, stepDown
//	 2 beacons, their order, whose they are             beacon.go, peer.go  sendBeacon, newer, hearRole
//	 3 suspect round before any candidacy               candidacy.go  suspectAt, suspect, suspected, disconnected
//	 4 the primary's answer ends it                     candidacy.go  abort
//	 5 promotion (ap)                                   candidacy.go  stand, promote
//	 6 votes, absorbing a majority (strict)             vote.go       askMajority, voteAsked, count, missing
//	 7 the backup                                       reign.go      chooseBackup
//	 8 heads are planned, made, accepted; durable       reign.go, replicate.go  order, made, settleDurable
//	 9 heads heard of are fetched and acknowledged      replicate.go  accept, chase, fetched, acknowledge
//	10 forks are merged or hidden; old heads confirmed  reign.go      join, unconfirmed
//	11 heads nobody has are abandoned                   abandon.go    giveUp, waiveAsked, agreed
//	12 configs                                          epoch.go      configured, setConfig, cut
//	   handover; one identity used twice                handover.go, peer.go  handover, handed, newer, seen
//
// A head becomes durable in its own epoch only. A primary therefore repeats (Confirm) the head it found, unless
// that is known to be durable. In strict it also does so after every change of the config, and the owner must
// not change the config again before something is durable in the current one: otherwise two majorities two
// versions apart need not share a voter. One change adds or removes one voter. A wiped voter is first removed,
// and added in the next version.
//
// The shell's duties:
//
//  1. One loop calls Step with every event, and with Tick at Next at the latest. Time is monotonic.
//  2. It carries actions out in order. What comes after a Persist waits for its sync. If the sync fails, the
//     rest is dropped, the member gets PersistFailed, and is made anew from what the disk really holds.
//  3. It verifies before it tells: who sent a message, signatures and rights of heads in it, and merges before
//     Fetched. A head is Fetched or Made only when it and its blocks are synced.
//  4. A head that is made leaves the node, and the node's own lists, only after Accepted.
//  5. A new config is on disk before ConfigChanged. What its cuts leave of the frontiers is Config.Spare's; New is
//     given that, too, as a crash may have come between the config and the state.
//  6. A store keeps its Instance and is Fresh once. If the state that was saved last may be lost, it goes on as
//     another store, Persistent.Renewed. A home that was copied or put back from a copy shows itself by Alarm
//     Cloned once it hears who knows more of it; until then it cannot know. Renewed is the cure there, too.
//  7. A State that comes later than its Beacon, or is known from an earlier one, is given with the stamp of the last
//     beacon of the same start of the same store, and never is a state that was not persisted.
package election
