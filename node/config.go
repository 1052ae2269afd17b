package node

import (
	"log/slog"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/discovery/static"
)

// Config is what a node is made of. The zero value of everything but Home is a default.
type Config struct {
	Home      string   // folder of the node's own state
	Listen    []string // multiaddresses; nil = the default port on every interface, or any free one
	Bootstrap []string // multiaddresses with /p2p/ of nodes to join through
	Net       NetConfig
	Transfer  TransferConfig
	Store     StoreConfig
	Share     ShareConfig
	Reserve   int64         // bytes of free disk to leave; 0 = default
	Offline   bool          // no network: commands that only read
	Nameless  bool          // metrics say nothing of single sets
	Brief     bool          // it ends with a command: it answers nobody's look-ups and announces no revisions
	Resume    bool          // follow and watch again what was followed and watched when the home was used the last time
	Interval  time.Duration // of beacons in elections; 0 = as the set or the network asks
	Version   string
	Log       *slog.Logger
	Bed       *Bed // nil in production
}

// NetConfig says how a node takes part in the swarm.
type NetConfig struct {
	MDNS           bool   // find peers on the local network
	DHT            string // "server" (default), "client" for a node that nobody can dial, or "off"
	MaxConnections int    // where idle connections begin to be closed, twice as many are refused; 0 = default
	MaxMemory      int64  // bytes that connections may reserve; 0 = default
}

// TransferConfig bounds what is sent and fetched.
type TransferConfig struct {
	Up, Down  int64 // bytes per second of payload; 0 = no limit
	LANExempt bool  // peers of the local network are outside of Up and Down
	// Inherit: this node goes on with the work of one that ran in the home until now, within the limits that were set of that
	// while it ran.
	Inherit bool
}

// StoreConfig bounds what a node keeps.
type StoreConfig struct {
	MaxSize   int64 // bytes of the node's own state; 0 = no limit
	Keep      int   // revisions of a set that can be given back, the newest included; 0 = default
	KeepBytes int64 // bytes kept of a set's past revisions; 0 = default
}

// ShareConfig says how a folder that is shared is watched.
type ShareConfig struct {
	Debounce time.Duration // how long it must be still before it is published; 0 = default
	Rescan   time.Duration // finds what no notification told of; 0 = default
}

// CheckListen tells why text cannot be one of Config.Listen, as far as it shows without a network; nil if it can.
func CheckListen(text string) error {
	_, err := multiaddr.NewMultiaddr(text)
	return err
}

// CheckBootstrap tells why text cannot be one of Config.Bootstrap; nil if it can.
func CheckBootstrap(text string) error {
	_, err := static.Parse(text)
	return err
}
