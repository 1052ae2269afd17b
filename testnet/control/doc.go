// Package control lets a second terminal act on a test network that runs: a Unix socket in the network's folder, at
// which statements of a script are carried out, the nodes are listed, and the network is ended.
//
// A connection carries one request and its answer, both as lines of JSON. The request is
//
//	{"v":1,"op":"do","line":"kill node-1"}      op is do, list or quit
//
// A do with "alone":true is carried out to its end even if the client goes away.
// and the answer any number of lines that say something, empty ones as signs of life among them, and one that ends it:
//
//	{"say":"node-1 was killed"}                 of do
//	{}                                          the network is still at it
//	{"nodes":[…],"done":true}                   of list
//	{"error":{"code":"…","title":"…"},"done":true}
//	{"done":true}
//
// Whoever may open the socket may do all this: it is its owner's alone.
package control
