package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/shoal-p2p/shoal/"

// edges lists, for every package, the packages of this module it may import. A folder ending in "/" means
// everything below it. The direction is the one of docs/architecture.md: what is imported more imports less.
var edges = map[string][]string{
	"blockstore":             {},
	"blockstore/chunk":       {},
	"blockstore/dag":         {"blockstore", "blockstore/chunk"},
	"blockstore/memstore":    {"blockstore"},
	"blockstore/diff":        {"blockstore", "blockstore/dag"},
	"blockstore/patch":       {"blockstore"},
	"blockstore/badgerstore": {"blockstore"},
	"blockstore/storetest":   {"blockstore"},
	"blockstore/segment":     {"blockstore"},
	"blockstore/worktree":    {"blockstore", "blockstore/chunk", "blockstore/dag"},
	"protocols/handler":      {"protocols/wire"},
	"protocols/wire":         {"blockstore"},
	"protocols/record/pb":    {}, // generated
	"protocols/list/pb":      {"protocols/record/pb"},
	"protocols/chunks/pb":    {},
	"protocols/delta/pb":     {},
	"protocols/beacon/pb":    {},
	"protocols/council/pb":   {},
	"protocols/record":       {"blockstore", "blockstore/dag", "protocols/record/pb"},
	"protocols/list":         {"blockstore", "protocols/wire", "protocols/handler", "protocols/record", "protocols/list/pb"},
	"protocols/chunks":       {"blockstore", "blockstore/dag", "protocols/wire", "protocols/handler", "protocols/chunks/pb"},
	"protocols/delta":        {"blockstore", "blockstore/dag", "blockstore/diff", "blockstore/patch", "protocols/wire", "protocols/handler", "protocols/delta/pb"},
	"protocols/beacon":       {"blockstore", "protocols/beacon/pb"},
	"protocols/council":      {"blockstore", "protocols/wire", "protocols/handler", "protocols/record", "protocols/council/pb"},
	"discovery":              {},
	"discovery/peerbook":     {},
	"discovery/dht":          {"discovery"},
	"discovery/mdns":         {"discovery"},
	"discovery/static":       {"discovery"},
	"node/fetch":             {},
	"node/swarm":             {},
	"node/replica":           {"blockstore", "blockstore/dag", "blockstore/diff", "blockstore/patch", "blockstore/memstore", "blockstore/segment", "blockstore/worktree", "blockstore/merge", "protocols/", "node/fetch", "node/election", "node/council", "node/slots"},
	"node/watch":             {},
	"node/slots":             {},
	"node/election":          {"protocols/record"},
	"node/council":           {"blockstore", "node/election", "node/slots", "node/council/pb", "protocols/beacon", "protocols/council", "protocols/record"},
	"node/council/pb":        {},
	"blockstore/merge":       {"blockstore", "blockstore/dag", "blockstore/diff"},
	"testnet/sim":            {"node/election", "protocols/record"},
	"node/api":               {},
	"node/rest":              {"node/api"},
	"node/web":               {"node/api"},
	"node/meter":             {},
	"node":                   {"blockstore", "blockstore/badgerstore", "blockstore/dag", "blockstore/diff", "blockstore/worktree", "protocols/", "discovery", "discovery/", "node/"},
	"cmd/node":               {"node", "node/api", "node/rest", "node/web", "testnet", "testnet/control", "testnet/link", "testnet/nodes", "testnet/script"},
	"testnet/trace":          {},
	"testnet/script":         {},
	"testnet/link":           {"node/api", "blockstore", "protocols/chunks", "protocols/delta"},
	"testnet/edition":        {},
	"testnet/process":        {"node/api"},
	"testnet/nodes":          {"node/api", "testnet/link", "testnet/process"},
	"testnet/control":        {"node/api", "testnet/script", "testnet/trace"},
	"testnet/judge":          {"node/api", "testnet/script"},
	"testnet/oracle":         {},
	"testnet/report":         {"testnet/trace", "testnet/report/"},
	"testnet/report/figures": {"testnet/trace"},
	"testnet/report/draw":    {"testnet/trace", "testnet/report/figures"},
	"testnet/play":           {"node/api", "testnet/control", "testnet/edition", "testnet/judge", "testnet/link", "testnet/nodes", "testnet/oracle", "testnet/report/figures", "testnet/script", "testnet/trace"},
	"testnet":                {"testnet/control", "testnet/nodes", "testnet/play", "testnet/report", "testnet/script", "testnet/trace"},
	"testnet/benchpeers":     {},
	"testnet/chaos":          {"node/api", "testnet/process"},
}

// sole lists the heavy dependencies and the only packages whose production code may import them.
var sole = map[string][]string{
	"github.com/dgraph-io/badger/":        {"blockstore/badgerstore"},
	"github.com/libp2p/go-libp2p-kad-dht": {"discovery/dht"},
	"github.com/libp2p/go-libp2p-pubsub":  {"protocols/beacon"},
	"github.com/klauspost/compress/":      {"blockstore/patch"},
	"github.com/fsnotify/fsnotify":        {"node/watch"},
	"github.com/spf13/cobra":              {"cmd/node"},

	"github.com/ipfs/boxo/":                 {}, // tests only: independent readers of our DAGs
	"github.com/ipfs/go-unixfsnode":         {},
	"github.com/libp2p/go-libp2p/core/host": {"protocols/handler", "protocols/list", "protocols/chunks", "protocols/delta", "protocols/beacon", "protocols/council", "discovery/dht", "discovery/mdns", "discovery", "node/swarm", "node"},
	"github.com/libp2p/go-libp2p/p2p/":      {"node/swarm", "node", "discovery", "discovery/mdns", "discovery/dht"},
	"github.com/chromedp/":                  {}, // tests only
	"github.com/vbauerster/mpb/":            {"cmd/node"},
	"github.com/danielgtaylor/huma/":        {"node/rest"},
	"github.com/prometheus/":                {"node/meter", "node/swarm", "node"},
	"gopkg.in/natefinch/lumberjack":         {"cmd/node"},
	"github.com/coreos/go-systemd/":         {"cmd/node"},
	"github.com/cpuguy83/go-md2man":         {"cmd/node"},
}

// pure lists the packages that decide and never act, and what they therefore must not import.
var pure = []string{"blockstore", "blockstore/chunk", "blockstore/dag", "blockstore/diff", "blockstore/merge", "blockstore/patch", "protocols/wire", "protocols/record", "node/fetch", "node/election", "discovery/peerbook", "testnet/trace", "testnet/script", "testnet/judge", "testnet/report/figures", "testnet/report/draw"}

var impure = []string{"os", "net", "log", "log/slog", "sync", "syscall", "os/exec", "net/http", "io/ioutil"}

type listed struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Skipf("go list is not to be had here: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestImportDirections holds the code against the table of docs/architecture.md.
func TestImportDirections(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := edges[name]
		if !known {
			t.Errorf("%s: new package: give it a line in edges and in docs/architecture.md", name)
			continue
		}
		for _, imp := range p.Imports {
			if inner, ok := strings.CutPrefix(imp, module); ok && !covered(allowed, inner) {
				t.Errorf("%s must not import %s", name, inner)
			}
			for dep, users := range sole {
				if strings.HasPrefix(imp+"/", strings.TrimSuffix(dep, "/")+"/") && !slices.Contains(users, name) {
					t.Errorf("%s must not import %s: only %v may", name, imp, users)
				}
			}
			if slices.Contains(pure, name) && slices.Contains(impure, imp) {
				t.Errorf("%s is a pure core and must not import %s", name, imp)
			}
		}
	}
}

func covered(allowed []string, imp string) bool {
	for _, a := range allowed {
		if a == imp || strings.HasSuffix(a, "/") && strings.HasPrefix(imp, a) {
			return true
		}
	}
	return false
}
