package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestMetricsOnTheSocket(t *testing.T) {
	ask := func(o ServerOptions) (int, string) {
		t.Helper()
		socket, stop := node(t, &stub{}, o)
		defer stop()
		tr := &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			}}
		res, err := (&http.Client{Transport: tr}).Get("http://node/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	shown := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "shoal_peers 1\n") })
	if status, body := ask(ServerOptions{Metrics: shown}); status != http.StatusOK || body != "shoal_peers 1\n" {
		t.Errorf("status %d: %s", status, body)
	}
	if status, body := ask(ServerOptions{}); status != http.StatusNotFound || !strings.Contains(body, CodeNoEndpoint) {
		t.Errorf("without metrics: status %d: %s", status, body)
	}
}
