// Package sim plays node/election, the production core, in a simulated world: seeded, single-threaded, with
// virtual time, and the same to the last message whenever a seed is played again.
//
// A world has 2 to 7 nodes, each with a disk, a clock and a minimal shell. It lasts 120 simulated seconds, the
// last 30 (50 at slow intervals) without faults. Every seed draws which kinds of faults it has, so that rare
// mixtures come up, and proposals are made all the time.
//
// Faults: messages lost, repeated up to 5 s later, late, out of order, over slow or clogged links; partitions in
// halves, of one node, bridged, and in one direction; beacons that rarely arrive where streams work, and states
// that come after their beacon; connections that break for a moment; crashes, also between two actions of a step;
// writes that fail; pauses with a clock that goes on or stands still; clocks that drift by 5 % and jump by an
// hour; wiped stores; configs changed in the middle of it all, voters added and removed; handovers; a voter that
// signs two heads with one number, and an owner that signs two configs with one version.
//
// Invariants, checked after every step or when they could break: I1 to I8 of the election's design; that nobody
// acknowledges to an epoch it has left (fence); that what is had has its bytes; that no alarm is false; that a
// restart takes nothing back that others were told (part of I2 and I4); and, beyond version vectors, the content:
// a head is a set of proposals, and none that covers a durable head may lack its content. In strict, durable
// heads are a register: a publish covers what was durable before it was asked for, and a read at a primary that
// a later durable head of its reign confirms has seen what was durable before it (history). That is an invariant
// of our own, a special case of linearizability, not a search for a linear order.
//
// The world keeps to what the promise assumes: it does not wipe the last voter's disk that holds a durable head,
// in strict not so many that a majority could come together without it; in strict the owner changes one voter at
// a time, and only once something is durable under the config in force. In ap a head that became durable among
// voters whom the owner had removed, and who were cut off from all others, counts as removed with them.
//
// Not modelled: bytes, blocks and the contents of merges (a merge is the union of its sides); partial fetches;
// signatures; the coalescing of several sets in a beacon; writer revocation (cuts); homes copied or put back from
// a copy; damaged state slots; a disk that is slow; voters that lie about anything but the number of a head.
package sim
