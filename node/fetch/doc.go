// Package fetch decides which peer is asked for which leaf next: the pure scheduler of a download. It
// starts nothing, reads no clock and does no I/O: a shell feeds it events and carries out its actions.
//
// Terms: a leaf is one verified chunk, named by its index in the revision's leaf list; a span is up to
// MaxBatchLeaves (at most 64) consecutive leaves of at most MaxBatchBytes, cut alike by every getter; a
// source is a peer that has every leaf, a getter one that is still fetching.
//
// Algorithm:
//  1. Each peer has a window of bytes. It grows by what arrives (slow start) while an answer takes at most
//     queueTarget longer than the fastest one did, and shrinks otherwise: in the end, rate x (RTT + target).
//     One request is up to a quarter of the window, at most one span: files are read in long runs.
//  2. Alone among sources: spans in order, every source taking the next one (work sharing without ranges). The
//     order begins at our home, the span of our highest hash (see 3), and goes round: getters that begin together
//     and do not know of each other yet ask for different spans, which mostly are those they own later.
//  3. In a crowd (other getters known, and not more sources than getters) a span belongs to the getter
//     with the highest hash of (getter, span): rendezvous hashing, Thaler and Ravishankar 1996. We ask
//     sources for our own spans only and take the rest from the getters, rarest first out of a few drawn at
//     random. A foreign span goes to a source once its owner or the getters need longer than ownerPatience
//     for what is left, from the far end of the owner's order, so that the two meet in the middle.
//     A getter that completes is still asked as one, and only origins, sources from the beginning, are spared:
//     or what none but it has would wait for its owner.
//  4. A peer with nothing else to do duplicates leaves that are late at a slower one (end-game, slow loris).
//  5. Silence lends a peer's leaves to others, then drops it; wrong bytes ban it; other failures pause it.
//
// All sets are bitmaps over leaves or spans; choosing a request costs a scan of words, never of leaves.
package fetch
