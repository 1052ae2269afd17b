package main

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
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
