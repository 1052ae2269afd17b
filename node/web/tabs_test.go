package web_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/web"
)

// canned is an API with one set, and a peer that has gone; it counts the streams that are open.
type canned struct {
	first         string // the snapshot
	token         string // file of the token; "" = another one for each site
	testnet       bool   // it is a node of a test network
	streams, most atomic.Int64
}

const snapshot = `{"time":"2026-01-02T03:04:05Z","operations":[],"status":{"peer_id":"12D3KooWSelf","version":"v1","home":"/h","listen":[],
"uptime_seconds":1,"wire_in":0,"wire_out":0,"disk_bytes":1000,"peers":[],"sets":[{"set":"bafyone","name":"one","revision":3,"root":"r","dir":"/d",
"state":"complete","role":"reader","files":2,"bytes":3000,"public":true,"owner":false,"holders":1,"peers":0,"durable":false,"primary":"12D3KooWGone","backup":"","epoch":"1.1","behind":2}]}}`

// cannedAnswers are those that are no empty list.
var cannedAnswers = map[string]string{
	"limits":                    `{"up":0,"down":0,"lan_exempt":false,"sets":[],"max_connections":256,"max_size":0,"size":1000}`,
	"doctor":                    `{"ok":true,"checks":[]}`,
	"sets/bafyone/availability": `{"set":"bafyone","revision":3,"root":"r","leaves":4,"columns":4,"copies":[0,0,0,0],"peers":[{"peer_id":"12D3KooWSelf","self":true,"state":"some","leaves":0,"have":[0,0,0,0]},{"peer_id":"12D3KooWGone","state":"other","revision":4,"leaves":0}]}`,
	"testnet":                   `{"dir":"/net","nodes":[{"name":"edge-1","peer_id":"12D3KooWGone","state":"killed","sets":[],"harm":["to edge-2 cut"],"memory":0},{"name":"edge-2","peer_id":"12D3KooWSelf","self":true,"state":"up","sets":[{"name":"one","revision":3,"role":"reader","part":0.5}],"harm":[],"memory":30000000}]}`,
}

func (c *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v1/events" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, cmp.Or(cannedAnswers[strings.TrimPrefix(r.URL.Path, "/api/v1/")], `{"items":[],"next":""}`))
		return
	}
	c.most.Store(max(c.most.Load(), c.streams.Add(1)))
	defer c.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprintf(w, "retry: 100\nevent: snapshot\ndata: %s\n\n", strings.ReplaceAll(c.first, "\n", ""))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// cannedSite serves the canned API at address until stop.
func cannedSite(t *testing.T, c *canned, address string) (l *living, stop func()) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := web.New(web.Options{API: c, Version: "v1", Listen: ln.Addr().String(), Testnet: c.testnet, TokenFile: cmp.Or(c.token, filepath.Join(t.TempDir(), "t"))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, ln) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return &living{site: s}, stop
}

// TestTabs: tabs of one browser share one stream, and a node that does not know them any more asks them to sign in.
func TestTabs(t *testing.T) {
	ctx := browser(t)
	c := canned{first: snapshot}
	l, stop := cannedSite(t, &c, "127.0.0.1:0")
	first := visit(t, ctx, l, "first")
	first.has("headline", "No peer is connected; one is 2 revisions behind")
	if n := read[int](first, `document.querySelectorAll('[data-testid=ring] .lost').length`); n != 1 {
		t.Errorf("%d lost peers are drawn", n)
	}
	secondCtx, cancel := chromedp.NewContext(ctx)
	defer cancel()
	second := visit(t, secondCtx, l, "second")
	second.has("headline", "2 revisions behind")
	second.has("state", "live")
	first.quiet()
	second.quiet()
	if n := c.most.Load(); n != 1 {
		t.Errorf("%d streams were open at once", n)
	}
	address := l.site.URL()[len("http://"):]
	stop()
	_, stop = cannedSite(t, &c, address)
	defer stop()
	second.has("signed-out", "shoal dashboard")
}

// TestSignOut: a browser that is signed out sees nothing any more, and is told how to come back.
func TestSignOut(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: snapshot}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "out")
	p.open("settings")
	p.quiet()
	p.click("sign-out")
	p.wait(`document.body.textContent.includes("shoal dashboard") && !document.querySelector('[data-testid=headline], nav')`)
}

// TestNamesOfATestNetwork: nodes have the names there that the network gave them, and the page about it is offered.
func TestNamesOfATestNetwork(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: snapshot, testnet: true}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "named")
	p.wait(`document.querySelector('[data-testid=ring]').textContent.includes('edge-1not connected')`)
	p.wait(`document.querySelector('nav a[href="#/testnet"]')`)
	p.open("set/bafyone")
	p.wait(`document.querySelector('main').textContent.includes('Primaryedge-1')`)
	p.quiet()
}

// crowd is the snapshot of a node with many peers and sets, whose names were chosen by somebody who means ill.
func crowd(t *testing.T) string {
	t.Helper()
	id := func(i int) string { return fmt.Sprintf("12D3KooW%044dx%02d", i, i) }
	st := api.Status{PeerID: id(0), Version: "v1", Home: "/h", Listen: []string{"/ip4/127.0.0.1/tcp/1"}, WireIn: 1, WireOut: 1}
	for i := 1; i <= 24; i++ {
		addr := fmt.Sprintf("/ip4/10.0.0.%d/tcp/4581", i)
		if i%5 == 0 {
			addr += "/p2p-circuit"
		}
		st.Peers = append(st.Peers, api.PeerInfo{PeerID: id(i), Addr: addr, Transport: "tcp", RTTms: float64(i) * 3, Agent: hostile[i%len(hostile)], RateIn: int64(i) * 1_000_000})
	}
	for i := range 30 {
		name := hostile[i%len(hostile)]
		if i%3 == 0 {
			name = strings.Repeat("long-", 40) + name
		}
		st.Sets = append(st.Sets, api.SetInfo{Set: fmt.Sprintf("bafyset%02d", i), Name: name, Revision: 3, State: "complete", Role: api.RoleReader, Files: 10, Bytes: 1e9,
			Primary: id(i%7 + 1), Backup: id(i%4 + 24), Holders: 2, Durable: i%2 == 0, Behind: i % 4, Alarms: hostile[:i%9/8]})
	}
	b, err := json.Marshal(map[string]any{"time": "2026-01-02T03:04:05Z", "operations": []any{}, "status": st})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestCrowd: many peers and sets with long and hostile names fit, as text.
func TestCrowd(t *testing.T) {
	ctx := browser(t)
	l, stop := cannedSite(t, &canned{first: crowd(t)}, "127.0.0.1:0")
	defer stop()
	p := visit(t, ctx, l, "crowd")
	p.wait(`document.querySelectorAll('[data-testid=set-card]').length === 24`)
	looks(p, "", "sets", "peers", "failover", "activity")
	p.open("peers")
	p.has("peers", "24.0 MB/s") // of the last of them
	p.open("")
	if n := read[int](p, `document.querySelectorAll('main img, main script, [onerror], [onmouseover]').length`); n != 0 {
		t.Errorf("%d elements were made of names", n)
	}
	if n := read[int](p, `document.querySelectorAll('[data-testid=ring] .relayed').length`); n != 4 {
		t.Errorf("%d relayed paths are drawn", n)
	}
	p.quiet()
}
