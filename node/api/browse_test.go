package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Content writes the path as often as Length says; what it does then is in Set.
func (s *stub) Content(_ context.Context, r ContentRequest, w io.Writer) error {
	for range r.Length {
		if _, err := io.WriteString(w, r.Path); err != nil {
			return err
		}
	}
	switch r.Set {
	case "missing":
		return &Error{Code: "incomplete", ExitCode: ExitNotFound, Title: "not here"}
	case "panic":
		panic("broken")
	}
	return nil
}

func (s *stub) Availability(_ context.Context, r AvailabilityRequest) (AvailabilityResult, error) {
	return AvailabilityResult{Set: r.Set, Columns: 2, Copies: []int{1, r.Columns}, Peers: []PeerHave{{PeerID: "p", State: HaveSome, Have: []int{100, 3}}}}, nil
}

func TestBrowseOverTheSocket(t *testing.T) {
	s := new(stub)
	socket, _ := node(t, s, ServerOptions{})
	c := dial(t, socket)
	want, _ := s.Availability(t.Context(), AvailabilityRequest{Set: "s", Columns: 7})
	if got, err := c.Availability(t.Context(), AvailabilityRequest{Set: "s", Columns: 7}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("availability: %v %s", err, cmp.Diff(want, got))
	}
	big := int64(1 << 18) // more than any buffer on the way holds
	for _, tt := range []struct {
		set     string
		length  int64
		refused bool
		gone    bool
	}{
		{"s", 0, false, false},
		{"s", big, false, false},
		{"missing", 0, true, false},
		{"missing", big, false, true},
		{"panic", 0, true, false},
		{"panic", big, false, true},
	} {
		var out bytes.Buffer
		err := c.Content(t.Context(), ContentRequest{Set: tt.set, Path: "bytes", Length: tt.length}, &out)
		var e *Error
		if errors.As(err, &e) != tt.refused || errors.Is(err, ErrHostGone) != tt.gone || (err == nil) == (tt.refused || tt.gone) {
			t.Errorf("%s %d: %v", tt.set, tt.length, err)
		}
		if err == nil && int64(out.Len()) != 5*tt.length {
			t.Errorf("%s %d: %d bytes", tt.set, tt.length, out.Len())
		}
	}
	full := errors.New("disk full")
	if err := c.Content(t.Context(), ContentRequest{Set: "s", Path: "bytes", Length: big}, writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// What is no endpoint of the socket's is asked of the resources, and only that.
func TestResourcesOverTheSocket(t *testing.T) {
	resources := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "resource "+r.URL.Path) })
	h := newHandler(new(stub), ServerOptions{Resources: resources}, t.Context()).routes()
	for path, want := range map[string]string{"/api/v1/sets/s": "resource /api/v1/sets/s", "/openapi.json": "resource /openapi.json", "/healthz": "ok\n"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Body.String() != want {
			t.Errorf("%s: %q", path, w.Body)
		}
	}
}
