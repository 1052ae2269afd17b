package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node/api"
)

// settings are the keys of the configuration and their defaults. Values that people write with a unit
// are text until they are checked.
type settings struct {
	Version int `koanf:"version"`
	P2P     struct {
		Listen    []string `koanf:"listen"`
		Bootstrap []string `koanf:"bootstrap"`
		MDNS      bool     `koanf:"mdns"`
	} `koanf:"p2p"`
	Discovery struct {
		DHT string `koanf:"dht"`
	} `koanf:"discovery"`
	Transfer struct {
		Up   string `koanf:"up"`
		Down string `koanf:"down"`
	} `koanf:"transfer"`
	Failover struct {
		Interval string `koanf:"interval"` // of this node's beacons; 0 = 250ms, or more where round trips are long
	} `koanf:"failover"`
	Log struct {
		Level string `koanf:"level"`
	} `koanf:"log"`
	Store struct {
		Reserve       string `koanf:"reserve"`
		KeepRevisions int    `koanf:"keep_revisions"`
		KeepBytes     string `koanf:"keep_bytes"`
	} `koanf:"store"`
}

func defaultSettings() settings {
	s := settings{Version: 1}
	s.P2P.Listen, s.P2P.Bootstrap = []string{}, []string{} // present, so that the keys are known
	s.P2P.MDNS = true
	s.Discovery.DHT = "server"
	s.Transfer.Up, s.Transfer.Down = "0", "0"
	s.Failover.Interval = "0"
	s.Log.Level = "auto" // warn, info under run, debug with -v
	s.Store.Reserve, s.Store.KeepBytes = "0", "0"
	return s
}

// settingFlags are the flags that stand for a key.
func settingFlags() map[string]string {
	return map[string]string{
		"listen": "p2p.listen", "bootstrap": "p2p.bootstrap", "mdns": "p2p.mdns", "dht": "discovery.dht",
		"up": "transfer.up", "down": "transfer.down",
	}
}

// addSettingFlags adds them to a verb that may host a node with network.
func addSettingFlags(f *pflag.FlagSet) {
	f.StringSlice("listen", nil, "multiaddrs to listen on")
	f.StringSlice("bootstrap", nil, "multiaddrs of peers to join the swarm through")
	f.Bool("mdns", true, "find peers on the local network")
	f.String("dht", "server", "take part in the hash table: server, client or off")
	f.String("up", "0", "send at most this, as 5MB/s (0 = no limit)")
	f.String("down", "0", "receive at most this, as 5MB/s (0 = no limit)")
}

// loadConfig layers flags over SHOAL_SECTION__KEY over the file over the defaults. auto is the level of
// the log where nothing else is said.
func (a *app) loadConfig(flags *pflag.FlagSet, auto slog.Level) (hostConfig, error) {
	k := koanf.New(".")
	if err := k.Load(structs.Provider(defaultSettings(), "koanf"), nil); err != nil {
		return hostConfig{}, fmt.Errorf("load defaults: %w", err)
	}
	known := k.Keys()
	if err := a.loadFile(k, known); err != nil {
		return hostConfig{}, err
	}
	if err := a.loadEnviron(k, known); err != nil {
		return hostConfig{}, err
	}
	if flags != nil {
		keys := settingFlags()
		given := posflag.ProviderWithFlag(flags, ".", k, func(f *pflag.Flag) (string, any) {
			if !f.Changed {
				return "", nil
			}
			return keys[f.Name], posflag.FlagVal(flags, f) // "" = not a setting
		})
		if err := k.Load(given, nil); err != nil {
			return hostConfig{}, fmt.Errorf("load flags: %w", err)
		}
	}
	var s settings
	if err := k.UnmarshalWithConf("", &s, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		return hostConfig{}, configError(strings.Join(strings.Fields(err.Error()), " "))
	}
	return a.hostConfig(s, auto)
}

// configFile is the file to read; optional when the user did not name it.
func (a *app) configFile() (path string, optional bool) {
	switch {
	case a.opts.config != "":
		return a.opts.config, false
	case a.ownHome(): // --home puts everything in one folder
		return filepath.Join(a.homeDir(), "config.yaml"), true
	case filepath.IsAbs(a.env("XDG_CONFIG_HOME")):
		return filepath.Join(a.env("XDG_CONFIG_HOME"), "shoal", "config.yaml"), true
	default:
		return filepath.Join(a.env("HOME"), ".config", "shoal", "config.yaml"), true
	}
}

func (a *app) loadFile(k *koanf.Koanf, known []string) error {
	path, optional := a.configFile()
	if _, err := os.Stat(path); optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
		return nil
	}
	layer := koanf.New(".")
	if err := layer.Load(file.Provider(path), yaml.Parser()); err != nil {
		return configError(fmt.Sprintf("%s: %s", path, oneLine(err.Error())))
	}
	if err := checkKeys(layer, known, path); err != nil {
		return err
	}
	return k.Merge(layer)
}

func (a *app) loadEnviron(k *koanf.Koanf, known []string) error {
	layer := koanf.New(".")
	err := layer.Load(env.Provider(".", env.Opt{
		Prefix:      "SHOAL_",
		EnvironFunc: func() []string { return a.environ },
		TransformFunc: func(name, value string) (string, any) {
			section, key, ok := strings.Cut(strings.TrimPrefix(name, "SHOAL_"), "__")
			if !ok || value == "" {
				return "", nil // SHOAL_HOME, SHOAL_API, SHOAL_TICKET are no settings; empty is unset
			}
			path := strings.ToLower(section + "." + key)
			if path == "p2p.listen" || path == "p2p.bootstrap" {
				return path, strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
			}
			return path, value
		},
	}), nil)
	if err != nil {
		return configError(err.Error())
	}
	if err := checkKeys(layer, known, "the environment"); err != nil {
		return err
	}
	return k.Merge(layer)
}

// checkKeys refuses keys that mean nothing: a setting that is silently ignored is worse than none.
func checkKeys(layer *koanf.Koanf, known []string, where string) error {
	for _, key := range layer.Keys() {
		if !slices.Contains(known, key) {
			return configError(fmt.Sprintf("%s: unknown key %s%s", where, printable(key), didYouMean(key, known)))
		}
	}
	return nil
}

func configError(why string) *api.Error {
	return &api.Error{Code: "bad_config", ExitCode: api.ExitUsage, Title: "configuration not understood", Detail: why, Hint: "`node help environment`"}
}

// hostConfig checks the values.
func (a *app) hostConfig(s settings, auto slog.Level) (hostConfig, error) {
	c := hostConfig{Home: a.homeDir(), Listen: s.P2P.Listen, Bootstrap: s.P2P.Bootstrap, MDNS: s.P2P.MDNS,
		DHT: s.Discovery.DHT, Version: a.version}
	if s.Version != 1 {
		return c, configError(fmt.Sprintf("version is %d, this program knows 1", s.Version))
	}
	if modes := []string{"server", "client", "off"}; !slices.Contains(modes, c.DHT) {
		return c, configError(fmt.Sprintf("discovery.dht is one of %s, not %q", strings.Join(modes, ", "), c.DHT))
	}
	for _, v := range []struct {
		key, text string
		into      *int64
	}{{"transfer.up", s.Transfer.Up, &c.Up}, {"transfer.down", s.Transfer.Down, &c.Down}, {"store.reserve", s.Store.Reserve, &c.Reserve},
		{"store.keep_bytes", s.Store.KeepBytes, &c.KeepBytes}} {
		n, err := parseSize(v.text)
		if err != nil {
			return c, configError(fmt.Sprintf("%s: %s", v.key, err))
		}
		*v.into = n
	}
	var err error
	if c.Interval, err = time.ParseDuration(s.Failover.Interval); err != nil || c.Interval < 0 || c.Interval > time.Minute {
		return c, configError(fmt.Sprintf("failover.interval is a time up to 1m such as 250ms, not %q", s.Failover.Interval))
	}
	if c.Keep = s.Store.KeepRevisions; c.Keep < 0 {
		return c, configError(fmt.Sprintf("store.keep_revisions is %d; it counts revisions, the newest included", c.Keep))
	}
	level, err := a.logLevel(s.Log.Level, auto)
	if err != nil {
		return c, err
	}
	c.Log = a.logger(level)
	return c, nil
}

func (a *app) logLevel(text string, auto slog.Level) (slog.Level, error) {
	switch {
	case a.opts.verbose:
		return slog.LevelDebug, nil
	case a.opts.quiet:
		return slog.LevelError, nil
	case text == "auto":
		return auto, nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(text)); err != nil {
		return 0, configError(fmt.Sprintf("log.level is one of auto, debug, info, warn, error, not %q", text))
	}
	return l, nil
}

// parseSize reads 10MB, 10MiB, and rates as 5MB/s.
func parseSize(text string) (int64, error) {
	t := strings.TrimSuffix(strings.TrimSpace(text), "/s")
	n, err := humanize.ParseBytes(t)
	if err != nil || n > 1<<62 {
		return 0, errors.New(strconv.Quote(text) + " is no size; write 10MB or 10MiB")
	}
	return int64(n), nil
}
