package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// settings are the keys of the configuration and their defaults. Values that people write with a unit
// are text until they are checked.
type settings struct {
	Version   int               `koanf:"version"`
	P2P       p2pSettings       `koanf:"p2p"`
	Discovery discoverySettings `koanf:"discovery"`
	Transfer  transferSettings  `koanf:"transfer"`
	Share     shareSettings     `koanf:"share"`
	Store     storeSettings     `koanf:"store"`
	Failover  failoverSettings  `koanf:"failover"`
	API       apiSettings       `koanf:"api"`
	Metrics   metricsSettings   `koanf:"metrics"`
	Log       logSettings       `koanf:"log"`
}

type p2pSettings struct {
	Listen         []string `koanf:"listen"`
	Bootstrap      []string `koanf:"bootstrap"`
	MDNS           bool     `koanf:"mdns"`
	MaxConnections int      `koanf:"max_connections"`
	MaxMemory      string   `koanf:"max_memory"`
}

type discoverySettings struct {
	DHT string `koanf:"dht"`
}

type transferSettings struct {
	Up        string `koanf:"up"`
	Down      string `koanf:"down"`
	LANExempt bool   `koanf:"lan_exempt"`
}

type shareSettings struct {
	Debounce string `koanf:"debounce"`
	Rescan   string `koanf:"rescan"`
}

type storeSettings struct {
	MaxSize       string `koanf:"max_size"`
	Reserve       string `koanf:"reserve"`
	KeepRevisions int    `koanf:"keep_revisions"`
	KeepBytes     string `koanf:"keep_bytes"`
}

type failoverSettings struct {
	Interval string `koanf:"interval"`
}

type apiSettings struct {
	Listen       string   `koanf:"listen"`
	AllowedHosts []string `koanf:"allowed_hosts"`
	Cert         string   `koanf:"cert"`
	Key          string   `koanf:"key"`
}

type metricsSettings struct {
	Listen string `koanf:"listen"`
	Sets   bool   `koanf:"sets"`
}

type logSettings struct {
	Level   string `koanf:"level"`
	Format  string `koanf:"format"`
	File    string `koanf:"file"`
	MaxSize string `koanf:"max_size"`
	Keep    int    `koanf:"keep"`
}

func defaultSettings() settings {
	return settings{
		Version: 1,
		// Lists are empty and not nil, so that their keys are known.
		P2P:       p2pSettings{Listen: []string{}, Bootstrap: []string{}, MDNS: true, MaxConnections: 256, MaxMemory: "0"}, // 256 peers are a mesh
		Discovery: discoverySettings{DHT: "server"},
		Transfer:  transferSettings{Up: "0", Down: "0"},
		Share:     shareSettings{Debounce: "2s", Rescan: "1h"},
		Store:     storeSettings{MaxSize: "0", Reserve: "0", KeepBytes: "0"},
		Failover:  failoverSettings{Interval: "0"},
		API:       apiSettings{Listen: "127.0.0.1:4580", AllowedHosts: []string{}},
		Metrics:   metricsSettings{Sets: true},
		Log:       logSettings{Level: "auto", Format: "auto", MaxSize: "10MB", Keep: 5}, // 50 MB are weeks of a busy node
	}
}

// key is what people are told of one setting.
type key struct {
	name string
	help string
	live bool // a node that runs takes a change up on SIGHUP
}

// settingKeys lists every key in the order of help.
func settingKeys() []key {
	return []key{
		{name: "version", help: "of the configuration: 1"},
		{name: "p2p.listen", help: "multiaddrs to listen on; none = every interface, port 4581 or a free one"},
		{name: "p2p.bootstrap", help: "multiaddrs with /p2p/ of peers to join the swarm through"},
		{name: "p2p.mdns", help: "find peers on the local network"},
		{name: "p2p.max_connections", help: "idle connections above are closed; twice as many are refused"},
		{name: "p2p.max_memory", help: "of the process, as 300MB: more is given back at once, and connections that would need more are refused; 0 = no limit"},
		{name: "discovery.dht", help: "part in the hash table: server, client or off"},
		{name: "transfer.up", help: "send at most this, as 5MB/s; 0 = no limit", live: true},
		{name: "transfer.down", help: "receive at most this, as 5MB/s; 0 = no limit", live: true},
		{name: "transfer.lan_exempt", help: "peers of the local network are outside of these limits", live: true},
		{name: "share.debounce", help: "a folder that changes is published when it was still for so long"},
		{name: "share.rescan", help: "a watched folder is looked through this often all the same"},
		{name: "store.max_size", help: "of the node's own state, as 50GB; 0 = no limit"},
		{name: "store.reserve", help: "disk space to leave free; 0 = as the store thinks best"},
		{name: "store.keep_revisions", help: "revisions of a set to keep, with the newest; 0 = 3"},
		{name: "store.keep_bytes", help: "space for the past ones; 0 = 1GiB"},
		{name: "failover.interval", help: "of this node's beacons; 0 = 250ms, or what round trips ask"},
		{name: "api.listen", help: "address of the dashboard and the REST API; off = the socket in the home only"},
		{name: "api.allowed_hosts", help: "names in a URL, besides localhost, under which they may be asked for; none: those of the certificate"},
		{name: "api.cert", help: "TLS certificate (PEM); needed beyond this machine; relative to the home"},
		{name: "api.key", help: "its key (PEM)"},
		{name: "metrics.listen", help: "an address of its own for /metrics alone, open to whoever reaches it; off = only at api.listen"},
		{name: "metrics.sets", help: "figures of each set for whoever may scrape, by its name, of a private one by its id's end"},
		{name: "log.level", help: "auto (info under run, else warn), debug, info, warn or error; -q and -v change it for stderr", live: true},
		{name: "log.format", help: "auto (text on a terminal, else JSON), text or json"},
		{name: "log.file", help: "write the log there too; relative to the home"},
		{name: "log.max_size", help: "the file is put aside at this size (whole MiB)"},
		{name: "log.keep", help: "so many files that were put aside are kept"},
	}
}

// settingsTable is the settings for `help config`.
func settingsTable() string {
	s, err := newStack()
	if err != nil {
		return "" // the defaults are ours
	}
	rows := [][]string{{"  KEY", "DEFAULT", "MEANING"}}
	for _, k := range settingKeys() {
		mark := "  "
		if k.live {
			mark = "* "
		}
		value := valueText(s.k.Get(k.name))
		if value == "" {
			value = "-"
		}
		rows = append(rows, []string{mark + k.name, value, k.help})
	}
	var b strings.Builder
	table(&b, rows)
	return b.String()
}

// isList tells which settings are lists.
func isList(key string) bool {
	return key == "p2p.listen" || key == "p2p.bootstrap" || key == "api.allowed_hosts"
}

// isBool tells which settings are true or false.
func isBool(key string) bool {
	return key == "p2p.mdns" || key == "transfer.lan_exempt" || key == "metrics.sets"
}

// variable is the name of a setting in the environment.
func variable(key string) string {
	return "SHOAL_" + strings.ToUpper(strings.Replace(key, ".", "__", 1))
}

// settingFlags are the flags that stand for a key.
func settingFlags() map[string]string {
	return map[string]string{
		"listen": "p2p.listen", "bootstrap": "p2p.bootstrap", "mdns": "p2p.mdns", "dht": "discovery.dht",
		"up": "transfer.up", "down": "transfer.down", "api-listen": "api.listen",
	}
}

// addSettingFlags adds those to a verb that may host a node with network.
func addSettingFlags(f *pflag.FlagSet) {
	f.StringSlice("listen", nil, "multiaddrs to listen on")
	f.StringSlice("bootstrap", nil, "multiaddrs of peers to join the swarm through")
	f.Bool("mdns", true, "find peers on the local network")
	f.String("dht", "server", "take part in the hash table: server, client or off")
	f.String("up", "0", "send at most this, as 5MB/s (0 = no limit)")
	f.String("down", "0", "receive at most this, as 5MB/s (0 = no limit)")
}

// addServiceFlags adds those that only mean something to a node that stays.
func addServiceFlags(f *pflag.FlagSet) {
	f.String("api-listen", "", "address of the dashboard and the REST API, or off (default 127.0.0.1:4580)")
}
