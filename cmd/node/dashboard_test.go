package main

import (
	"bytes"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

func TestChosenPortIsNotReplaced(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var log bytes.Buffer
	cfg := hostConfig{API: apiConfig{Listen: taken.Addr().String(), Chosen: true}}
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	if l, err := listenSite(t.Context(), cfg); err == nil {
		_ = l.Close()
		t.Errorf("chosen: at %s instead", l.Addr())
	}
	cfg.API.Chosen = false
	l, err := listenSite(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, want := range []string{"level=WARN", taken.Addr().String(), l.Addr().String()} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log.String())
		}
	}
}

func TestCommandOfDashboardNamesTheHome(t *testing.T) {
	for home, want := range map[string]string{
		"/srv/a-1.b": "shoal dashboard --home /srv/a-1.b",
		"/my home":   "shoal dashboard --home '/my home'",
		"/o'neill;x": `shoal dashboard --home '/o'\''neill;x'`,
		"":           "shoal dashboard",
	} {
		a := app{process: process{name: "shoal"}}
		a.opts.home = home
		if got := a.commandOf(home); got != want {
			t.Errorf("%q: %s, want %s", home, got, want)
		}
	}
}

// What commands ask for is among the operations of the site, on every door; the settings are told as config list tells them.
func TestSiteKnowsWhatCommandsDo(t *testing.T) {
	net := t.TempDir()
	n := &fakeHost{cfg: hostConfig{Config: node.Config{Home: t.TempDir()}}, ready: make(chan struct{}), getenv: func(key string) string { return map[string]string{"FAKE_NET": net}[key] },
		listeners: map[int]func(api.Event){}}
	close(n.ready)
	s := &site{settings: func() ([]setting, error) { return []setting{{Key: "p2p.mdns", Value: false, Origin: "flag"}}, nil }}
	o := api.ServerOptions{Ready: n.ready}
	service := s.attach(n, &o)
	defer s.rest.Close()
	if _, err := service.Share(t.Context(), api.ShareRequest{Path: t.TempDir(), Name: "docs"}, nil); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/api/v1/operations": `"kind":"share"`, "/api/v1/settings": `{"key":"p2p.mdns","value":false,"origin":"flag"}`} {
		w := httptest.NewRecorder()
		o.Resources.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
