package rest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
)

// endpoint is one operation of the document, with a request that it takes.
type endpoint struct{ id, method, path, body string }

// endpoints are all of them, in order.
func endpoints(t testing.TB, a *API) (all []endpoint) {
	t.Helper()
	raw, err := a.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	type schema struct {
		Required   []string
		Properties map[string]struct{ Type any }
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct {
				Name, In string
				Required bool
			}
			RequestBody *struct {
				Content map[string]struct{ Schema schema }
			}
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"string": "/", "integer": 1, "boolean": true}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			e := endpoint{id: op.OperationID, method: strings.ToUpper(method), path: path}
			query := ""
			for _, p := range op.Parameters {
				if p.In == "path" {
					e.path = strings.Replace(e.path, "{"+p.Name+"}", "set0000", 1)
				}
				if p.In == "query" && p.Required {
					query += "&" + p.Name + "=a"
				}
			}
			e.path += strings.Replace(query, "&", "?", 1)
			if op.RequestBody != nil {
				s, members := op.RequestBody.Content["application/json"].Schema, map[string]any{}
				for _, name := range s.Required {
					kind, _ := s.Properties[name].Type.(string)
					members[name] = values[kind]
				}
				if _, ok := s.Properties["dest"]; ok {
					members["dest"] = "/d"
				}
				if b, _ := json.Marshal(members); len(members) > 0 {
					e.body = string(b)
				}
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(x, y endpoint) int { return strings.Compare(x.path+x.method, y.path+y.method) })
	return all
}

// door is one way to an API.
type door struct {
	base   string
	client *http.Client
}

func (d door) knock(t *testing.T, e endpoint) (status int, media string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context()) // the stream of events has no end
	defer leave()
	r, err := http.NewRequestWithContext(ctx, e.method, d.base+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	if e.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := d.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", e.method, e.path, err)
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Content-Type")
}

// Every endpoint of the document answers on the socket of the commands as it does over TCP.
func TestBothDoorsAnswerAlike(t *testing.T) {
	f := &fake{sets: manySets(1), files: map[string]string{"a": "x"}}
	a := serve(t, f, Options{Stop: func() {}})
	l, err := api.ListenAt(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() {
		served <- api.Serve(ctx, l, f, api.ServerOptions{Resources: a.Handler(), Stop: func() { t.Error("not the resources' stop") }})
	}()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	tcp := httptest.NewServer(a.Handler())
	defer tcp.Close()
	unix := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}}
	defer unix.CloseIdleConnections()
	outer, inner := door{tcp.URL, tcp.Client()}, door{"http://shoal", &http.Client{Transport: unix}}

	all := endpoints(t, a)
	if len(all) < 39 {
		t.Errorf("only %d endpoints", len(all))
	}
	for _, e := range all {
		status, media := outer.knock(t, e)
		if s, m := inner.knock(t, e); s != status || m != media {
			t.Errorf("%s %s: %d %s on the socket, %d %s over TCP", e.method, e.path, s, m, status, media)
		}
		unknown := strings.Contains(e.path, "/operations/set0000") || strings.Contains(e.path, "/testnet") // there is none
		if status >= 400 != unknown {
			t.Errorf("%s %s %s: %d", e.method, e.path, e.body, status)
		}
	}
}
