// Package sim plays node/election, the production core, in a simulated world: seeded, single-threaded, with
// virtual time, and the same to the last message whenever a seed is played again.
//
// A world has 2 to 7 nodes, each with a disk, a clock and a minimal shell. It lasts 120 simulated seconds, the
// last 30 (50 at slow intervals) without faults. Every seed draws which kinds of faults it has, so that rare
// mixtures come up, and proposals are made all the time.
//
// Faults: messages lost, repeated up to 5 s later, late, out of order, over slow or clogged links; partitions in
// halves, of one node, bridged, and in one direction; beacons that rarely arrive where streams work; connections
// that break for a moment; crashes, also between two actions of a step; writes that fail; newest states that are
// damaged, so that the store goes on under a new name with the older state and the heads on its disk; homes put
// back from a copy; pauses with a clock that goes on or stands still; clocks that drift by 5 % and jump by an hour;
// wiped stores; configs changed in the middle of it all, voters added and removed, writers revoked; handovers; a
// voter that signs two heads with one number, and an owner that signs two configs with one version.
//
// Beacons carry a node's state, or only the version of its table: then those that have missed a change, or all, pull
// it over a stream, and hear beacons without a state meanwhile.
//
// Invariants, checked after every step or when they could break: I1 to I8 of the election's design; that nobody
// acknowledges to an epoch it has left (fence); that what is had has its bytes; that no alarm is false; that a
// restart takes nothing back that others were told (part of I2 and I4); and, beyond version vectors, the content:
// a head is a set of proposals, and none that covers a durable head may lack its content. In strict, durable
// heads are a register: a publish covers what was durable before it was asked for, and a read at a primary that
// a later durable head of its reign confirms has seen what was durable before it (history). The tests search for
// an order of these publishes and reads that a register explains, with porcupine. In ap, whenever all voters have
// one head, it has the content of everything durable.
//
// The world keeps to what the promise assumes: it does not wipe the last voter's disk that holds a durable head,
// in strict not so many that a majority could come together without it; in strict the owner changes one voter at
// a time, and only once something is durable under the config in force. In ap a head that became durable among
// voters whom the owner had removed, and who were cut off from all others, counts as removed with them.
//
// A cut takes the heads that it refuses with all that is in them alone: the owner revokes a writer only where what
// is left of every durable head is on disks that are left, and what became durable or was read inside of a head that
// is cut later is not promised any more. A home is put back while a voter that knows all that it knew can be heard,
// and nothing else goes wrong until it has had time to hear it: one that hears nobody cannot know that it is old. It
// must then notice, if others know heads of its store that it does not, and becomes a new store. In strict it counts
// as lost from the start: a voter that was put back has forgotten whom it voted for.
//
// Not modelled: bytes, blocks and the contents of merges (a merge is the union of its sides); partial fetches;
// signatures; several sets in one beacon, and lists of rows too long for it; two homes with one identity at the same
// time; blocks that were removed before a cut would bring their head to light again; a disk that is slow; voters
// that lie about anything but the number of a head.
package sim
