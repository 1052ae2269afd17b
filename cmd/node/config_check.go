package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/web"
)

// hostConfig checks the values.
func (a *app) hostConfig(l layered, auto slog.Level) (hostConfig, error) {
	home := a.homeDir()
	v := verdict{origin: l.origin}
	c := hostConfig{Config: v.node(l.settings), API: v.api(l.settings, home), Settings: l.values}
	c.Home, c.Version = home, a.version
	c.Metrics.Listen = v.address("metrics.listen", l.settings.Metrics.Listen)
	o := v.logs(l.settings.Log, home, auto)
	switch {
	case a.opts.verbose:
		o.stderr = slog.LevelDebug
	case a.opts.quiet:
		o.stderr = slog.LevelError
	}
	if len(v.wrong) > 0 {
		return hostConfig{}, configError(v.wrong...)
	}
	c.Logs = newLogs(a.stderr, o)
	c.Log = c.Logs.logger
	return c, nil
}

// verdict collects what is wrong with values: all of it is told at once.
type verdict struct {
	origin map[string]string
	wrong  []string
}

// add says what is wrong with a key, and where that was said.
func (v *verdict) add(key, format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf("%s%s (%s)", key, fmt.Sprintf(format, args...), printable(v.origin[key])))
}

func (v *verdict) node(s settings) node.Config {
	if s.Version != 1 {
		v.add("version", " is %d, this program knows 1", s.Version)
	}
	v.oneOf("discovery.dht", s.Discovery.DHT, "server", "client", "off")
	if s.Store.KeepRevisions < 0 {
		v.add("store.keep_revisions", " is %d; it counts revisions, the newest included", s.Store.KeepRevisions)
	}
	v.addresses("p2p.listen", s.P2P.Listen, "/ip4/0.0.0.0/tcp/4581", node.CheckListen)
	v.addresses("p2p.bootstrap", s.P2P.Bootstrap, "/ip4/192.0.2.1/tcp/4581/p2p/12D3...", node.CheckBootstrap)
	const month = 30 * 24 * time.Hour
	return node.Config{
		Listen: s.P2P.Listen, Bootstrap: s.P2P.Bootstrap,
		// The council of a set alone may be some ten peers; every connection costs some 50 kB, and a process without any
		// takes 60 MB. A store that holds nothing takes some MB.
		Net: node.NetConfig{MDNS: s.P2P.MDNS, DHT: s.Discovery.DHT, MaxConnections: v.number("p2p.max_connections", s.P2P.MaxConnections, 16, 65536), MaxMemory: v.sizeFrom("p2p.max_memory", s.P2P.MaxMemory, 64<<20)},
		Transfer: node.TransferConfig{Up: v.rate("transfer.up", s.Transfer.Up), Down: v.rate("transfer.down", s.Transfer.Down),
			LANExempt: s.Transfer.LANExempt},
		Store: node.StoreConfig{MaxSize: v.sizeFrom("store.max_size", s.Store.MaxSize, 16<<20), Keep: s.Store.KeepRevisions, KeepBytes: v.size("store.keep_bytes", s.Store.KeepBytes)},
		Share: node.ShareConfig{Debounce: v.duration("share.debounce", s.Share.Debounce, 10*time.Millisecond, time.Hour),
			Rescan: v.duration("share.rescan", s.Share.Rescan, 100*time.Millisecond, month)},
		Nameless: !s.Metrics.Sets,
		Reserve:  v.size("store.reserve", s.Store.Reserve),
		Interval: v.duration("failover.interval", s.Failover.Interval, 0, time.Minute),
	}
}

func (v *verdict) api(s settings, home string) apiConfig {
	c := apiConfig{Listen: v.address("api.listen", s.API.Listen), Chosen: v.origin["api.listen"] != "default", AllowedHosts: s.API.AllowedHosts,
		Cert: inHome(home, s.API.Cert), Key: inHome(home, s.API.Key)}
	if (c.Cert == "") != (c.Key == "") {
		v.add("api.cert", " and api.key go together; `node config set api.cert=FILE api.key=FILE` writes both")
	}
	if c.Listen != "" && c.Cert == "" && web.Exposed(c.Listen) {
		v.add("api.listen", " is %s, beyond this machine: that needs TLS, api.cert and api.key", c.Listen)
	}
	hostName := regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
	for _, h := range c.AllowedHosts {
		if _, err := netip.ParseAddr(h); err != nil && !hostName.MatchString(h) {
			v.add("api.allowed_hosts", ": %s is no name of a machine; write it without scheme and port", strconv.Quote(h))
		}
	}
	return c
}

func (v *verdict) logs(s logSettings, home string, auto slog.Level) logOptions {
	o := logOptions{level: auto, format: s.Format, file: inHome(home, s.File), maxSize: v.sizeFrom("log.max_size", s.MaxSize, 1e6), keep: v.number("log.keep", s.Keep, 1, 1000)}
	v.oneOf("log.format", s.Format, "auto", "text", "json")
	if o.maxSize == 0 {
		v.add("log.max_size", " is 0; the least is 1MB")
	}
	if s.Level == "auto" {
		return o
	}
	if err := o.level.UnmarshalText([]byte(s.Level)); err != nil {
		v.add("log.level", " is one of auto, debug, info, warn, error, not %q", s.Level)
	}
	return o
}

func (v *verdict) oneOf(key, text string, allowed ...string) {
	if !slices.Contains(allowed, text) {
		v.add(key, " is one of %s, not %q%s", strings.Join(allowed, ", "), text, didYouMean(text, allowed))
	}
}

func (v *verdict) number(key string, n, least, most int) int {
	if n < least || n > most {
		v.add(key, " is %d; it is a number from %d to %d", n, least, most)
	}
	return n
}

func (v *verdict) size(key, text string) int64 {
	n, err := parseSize(text)
	if err != nil {
		v.add(key, ": %s", err)
	}
	return n
}

// sizeFrom is a size that nothing works with below least; 0 may have a meaning of its own.
func (v *verdict) sizeFrom(key, text string, least int64) int64 {
	n := v.size(key, text)
	if n > 0 && n < least {
		v.add(key, " is %s, too little to work with; the least is %s", text, size(least))
	}
	return n
}

func (v *verdict) rate(key, text string) int64 {
	n, err := parseRate(text)
	if err != nil {
		v.add(key, ": %s", err)
	}
	return n
}

func (v *verdict) duration(key, text string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	switch {
	case err == nil && d >= least && d <= most:
	case least == 0:
		v.add(key, " is a time up to %s such as 250ms, not %q", brief(most), text)
	default:
		v.add(key, " is a time from %s to %s, not %q", brief(least), brief(most), text)
	}
	return d
}

// brief is a time without the parts that are zero.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// address checks HOST:PORT; "" is off.
func (v *verdict) address(key, text string) string {
	if text == "" || text == "off" {
		return ""
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.add(key, " is an address such as 127.0.0.1:4580, or off, not %q", text)
	}
	return text
}

// addresses checks a list of multiaddrs; like is a good one.
func (v *verdict) addresses(key string, texts []string, like string, check func(string) error) {
	for _, text := range texts {
		if check(text) == nil {
			continue
		}
		parted := ""
		if strings.Contains(text, ",") {
			parted = "; several are a list, and not one text with commas"
		}
		v.add(key, ": %s is no address such as %s%s", strconv.Quote(text), like, parted)
	}
}

// inHome is a path of the configuration seen from the root; "" stays.
func inHome(home, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(home, path)
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

// parseRate reads bytes a second, 0 being no limit.
func parseRate(text string) (int64, error) {
	n, err := parseSize(text)
	if err != nil || n == 0 || n >= api.LeastRate {
		return n, err
	}
	unit := "MB/s" // nobody counts in bytes
	if strings.ContainsAny(text, "bB") {
		unit = "kB/s"
	}
	return 0, fmt.Errorf("%s is %s a second, too little to work with; the least is 1kB/s (did you mean %q?)", strconv.Quote(text), count(int(n), "byte"), fmt.Sprint(n, unit))
}
