// Command node shares, finds and fetches file sets between peers.
//
// A verb never works on a home itself. It finds the node of the home at its socket, or takes the home's
// lock and hosts the node in this process on the same socket, and then asks it through the same client:
//
//	verb -> withNode -> connect -> dial, else lock and host -> api.Client -> node
//
// So a second command in another terminal becomes a client of the first. When the hosting command ends
// or is killed, a command attached to it takes the lock over and starts its operation again; every
// operation may be repeated, and the node keeps what was done.
//
// Data goes to stdout and talk to stderr. Every failure leaves through one function, which gives it its
// text and its exit code.
package main
