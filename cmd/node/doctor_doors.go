package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/web"
)

// renewal is how long before its end a certificate is to be renewed: who renews every week or so is told of one time missed.
const renewal = 14 * 24 * time.Hour

// doors looks at what serves a node here besides its swarm: addresses, certificate, and the files that nobody else may read.
// Addresses are only tried where no node runs that would have them.
func doors(ctx context.Context, cfg hostConfig, running bool, now time.Time) []api.Check {
	var out []api.Check
	add := func(name string, c api.Check) {
		c.Name = name
		out = append(out, c)
	}
	if !running {
		add("dashboard", door(ctx, "api.listen", cfg.API.Listen, cfg.API.Chosen))
		add("metrics", door(ctx, "metrics.listen", cfg.Metrics.Listen, true))
	}
	if cfg.API.Cert != "" {
		add("certificate", certificate(cfg.API, now))
	}
	add("secrets", secrets(cfg))
	return out
}

// door tries an address; one that nobody chose is only the first choice.
func door(ctx context.Context, key, address string, chosen bool) api.Check {
	if address == "" {
		return api.Check{State: api.CheckOK, Detail: "none is wanted"}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		err = l.Close()
	}
	switch {
	case err == nil:
		return api.Check{State: api.CheckOK, Detail: address + " is free"}
	case chosen:
		return api.Check{State: api.CheckFail, Detail: fmt.Sprintf("%v: the node will not start", err), Hint: "end what uses the port, or `node config set " + key + " ADDRESS`"}
	}
	return api.Check{State: api.CheckWarn, Detail: fmt.Sprintf("%v: another port will be used", err), Hint: "end what uses the port, or `node config set " + key + " ADDRESS`"}
}

func certificate(c apiConfig, now time.Time) api.Check {
	const hint = "put a new certificate and its key at api.cert and api.key, then start the node anew"
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return api.Check{State: api.CheckFail, Detail: err.Error(), Hint: hint}
	}
	until := pair.Leaf.NotAfter
	switch day := until.UTC().Format(time.DateOnly); {
	case now.After(until):
		return api.Check{State: api.CheckFail, Detail: "it was good until " + day, Hint: hint}
	case now.Before(pair.Leaf.NotBefore):
		return api.Check{State: api.CheckFail, Detail: "it is good from " + pair.Leaf.NotBefore.UTC().Format(time.DateOnly) + " on", Hint: "see the clock"}
	case len(c.AllowedHosts) == 0 && web.Exposed(c.Listen) && len(web.Named(c.Cert)) == 0:
		return api.Check{State: api.CheckWarn, Detail: "it is for no name, and api.allowed_hosts has none: others than this machine are refused",
			Hint: "`node config set api.allowed_hosts=NAME`, as it stands in their URL"}
	case until.Sub(now) < renewal:
		return api.Check{State: api.CheckWarn, Detail: "it is good until " + day, Hint: hint}
	default:
		return api.Check{State: api.CheckOK, Detail: "good until " + day}
	}
}

// secrets looks who else can read what opens the API, or what the log tells.
func secrets(cfg hostConfig) api.Check {
	files := []string{filepath.Join(cfg.Home, "api.token"), cfg.API.Key}
	if cfg.Logs != nil && cfg.Logs.file != nil {
		files = append(files, cfg.Logs.file.Filename)
	}
	var wrong []string
	for _, path := range files {
		st, err := os.Stat(path)
		if path == "" || err != nil || !st.Mode().IsRegular() {
			continue // not there is another one's to say
		}
		if why := web.Unsafe(path, st); why != "" {
			wrong = append(wrong, path+" "+why)
		}
	}
	if len(wrong) > 0 {
		return api.Check{State: api.CheckWarn, Detail: strings.Join(wrong, "; "), Hint: "chmod 600, and chown to who runs the node; `node dashboard --new-token` if others may have read the token"}
	}
	return api.Check{State: api.CheckOK, Detail: "token, key and log are nobody else's to read"}
}
