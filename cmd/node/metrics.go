package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/web"
)

const (
	// scrapePatience bounds a request for metrics: its headers, and its answer with room for a slow line.
	scrapePatience = 30 * time.Second
	// scrapeGrace is how long one that runs may take when the node ends.
	scrapeGrace = 500 * time.Millisecond
)

// measured is a host that has metrics.
type measured interface {
	Metrics() http.Handler
}

// warned is a host that knows what it should be looked at for.
type warned interface {
	Warnings() []string
}

// warningsOf tells that; nil if the host does not know.
func warningsOf(n host) func() []string {
	if w, ok := n.(warned); ok {
		return w.Warnings
	}
	return nil
}

// metricsOf is what shows the metrics of a host; nil if it has none.
func metricsOf(n host) http.Handler {
	if m, ok := n.(measured); ok {
		return m.Metrics()
	}
	return nil
}

// openMetrics opens the address that serves nothing but metrics; nil if there is none. A command that ends by itself
// opens none: whoever scrapes wants the node that stays.
func openMetrics(ctx context.Context, c metricsConfig, how hosting) (net.Listener, error) {
	if !how.service || c.Listener == nil && c.Listen == "" {
		return nil, nil
	}
	if c.Listener != nil {
		return c.Listener, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, &api.Error{Code: "bad_listen", ExitCode: api.ExitUsage, Title: "the metrics cannot be served at " + printable(c.Listen),
			Detail: err.Error(), Hint: "another metrics.listen, or off for none"}
	}
	return l, nil
}

// serveMetrics answers GET /metrics on l until ctx ends, and closes it. What is told needs no token, so nothing else
// is to be had there.
func serveMetrics(ctx context.Context, l net.Listener, metrics http.Handler, log *slog.Logger) {
	mux := http.NewServeMux()
	if !web.Exposed(l.Addr().String()) {
		metrics = web.LocalNames(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	srv := &http.Server{Handler: mux, ReadTimeout: scrapePatience, WriteTimeout: scrapePatience, MaxHeaderBytes: 16 << 10, // a scraper sends some hundred bytes
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	at := "http://" + l.Addr().String() + "/metrics"
	if web.Exposed(l.Addr().String()) {
		log.Warn("metrics are open to whoever reaches the address, without token or TLS", "at", at)
	} else {
		log.Info("metrics", "at", at)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		log.Error("metrics are not served any more", "err", err)
		return
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.WithoutCancel(ctx), scrapeGrace)
	defer done()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close()
	}
	<-served
}

// closeListeners closes those that there are.
func closeListeners(all ...net.Listener) {
	for _, l := range all {
		if l != nil {
			_ = l.Close()
		}
	}
}
