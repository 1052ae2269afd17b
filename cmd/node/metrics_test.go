package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

var _ measured = (*node.Node)(nil)

func TestMetricsHaveAnAddressOfTheirOwn(t *testing.T) {
	l, err := openMetrics(t.Context(), metricsConfig{Listen: "127.0.0.1:0"}, hosting{service: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serveMetrics(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "shoal_peers 1\n") }), slog.New(slog.DiscardHandler))
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/": http.StatusNotFound, "/api/v1/status": http.StatusNotFound, "/healthz": http.StatusNotFound} {
		res, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, want)
		}
	}
	res, err := client.Post("http://"+l.Addr().String()+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", res.StatusCode)
	}
	cancel()
	<-ended
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("it is served still")
	}
}

func TestWhereMetricsAreOpened(t *testing.T) {
	given, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	for name, c := range map[string]struct {
		config  metricsConfig
		service bool
		want    net.Listener
	}{
		"nowhere":                  {metricsConfig{}, true, nil},
		"by the service manager":   {metricsConfig{Listen: "127.0.0.1:1", Listener: given}, true, given},
		"not by a passing command": {metricsConfig{Listen: "127.0.0.1:0", Listener: given}, false, nil},
	} {
		got, err := openMetrics(t.Context(), c.config, hosting{service: c.service})
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	_, err = openMetrics(t.Context(), metricsConfig{Listen: given.Addr().String()}, hosting{service: true})
	var e *api.Error
	if !errors.As(err, &e) || e.ExitCode != api.ExitUsage {
		t.Errorf("a taken address: %v", err)
	}
	closeListeners(nil, given)
	if _, err := given.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("not closed: %v", err)
	}
}
