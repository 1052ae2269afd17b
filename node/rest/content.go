package rest

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/shoal-p2p/shoal/node/api"
)

// writePatience bounds one write of a file: a leaf of 1 MiB takes it at 35 kB/s.
const writePatience = 30 * time.Second

// Wanted asks for the bytes of a file.
type Wanted struct {
	BySet
	Path    string `query:"path" required:"true" maxLength:"4096" doc:"of a file of the newest revision"`
	Range   string `header:"Range" doc:"one range of bytes; what is not understood is ignored"`
	IfRange string `header:"If-Range" doc:"ETag that Range is for"`
	IfNone  string `header:"If-None-Match"`
}

func (a *API) contentRoute() {
	op := a.operation(route{id: "content", method: "GET", path: "/sets/{set}/content", summary: "The bytes of a file, verified as they are read"})
	op.Responses["200"], op.Responses["206"] = binary("the file"), binary("the range that was asked for")
	op.Responses["304"] = &huma.Response{Description: "the file is the one of If-None-Match"}
	huma.Register(a.huma, op, func(ctx context.Context, in *Wanted) (*huma.StreamResponse, error) {
		e, err := guard(ctx, a, "content", func(ctx context.Context) (api.Entry, error) { return a.file(ctx, in) })
		if err != nil {
			return nil, failed(err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			r, w := humago.Unwrap(c)
			a.serve(r, w, in, e)
		}}, nil
	})
}

// file finds the entry that is asked for.
func (a *API) file(ctx context.Context, in *Wanted) (api.Entry, error) {
	name := strings.Trim(path.Clean("/"+in.Path), "/")
	found, err := a.service.Ls(ctx, api.LsRequest{Set: in.Set, Path: name})
	if err != nil {
		return api.Entry{}, err
	}
	for _, e := range found.Entries {
		if e.Path == name && e.Kind == "file" {
			return e, nil
		}
	}
	return api.Entry{}, &api.Error{Code: "not_a_file", ExitCode: api.ExitUsage, Title: fmt.Sprintf("%q is not a file of the set", in.Path)}
}

// serve writes the file, or the range of it that is asked for. What fails before the first byte is a Problem; after
// it the connection is broken, so that nobody takes a part for the whole.
func (a *API) serve(r *http.Request, w http.ResponseWriter, in *Wanted, e api.Entry) {
	etag := strconv.Quote(e.Cid)
	h := w.Header()
	h.Set("ETag", etag)
	if in.IfNone != "" && strings.Contains(in.IfNone, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	want := span{length: e.Size}
	if in.IfRange == "" || in.IfRange == etag {
		var ok bool
		if want, ok = parseRange(in.Range, e.Size); !ok {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", e.Size))
			writeProblem(w, http.StatusRequestedRangeNotSatisfiable, &api.Error{Code: "bad_range", ExitCode: api.ExitUsage, Title: "the file has no such bytes"})
			return
		}
	}
	out := &download{w: w, rc: http.NewResponseController(w), want: want, entry: e}
	defer func() { _ = out.rc.SetWriteDeadline(time.Time{}) }() // the connection may serve another request
	if r.Method == http.MethodHead || want.length == 0 {
		out.begin()
		return
	}
	_, err := guard(r.Context(), a, "content", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.service.Content(ctx, api.ContentRequest{Set: in.Set, Path: e.Path, Cid: e.Cid, Offset: want.from, Length: want.length}, out)
	})
	switch {
	case err == nil && out.begun:
	case out.begun:
		a.opts.Log.Warn("serve a file", "err", err)
		panic(http.ErrAbortHandler)
	default:
		h.Del("ETag")
		p := api.AsError(err)
		if p == nil {
			p = &api.Error{Code: api.CodeBug, ExitCode: api.ExitBug, Title: "the file came without its bytes"}
		}
		writeProblem(w, api.StatusOf(p), p)
	}
}

// download is the way of a file to its client; the headers go with the first byte.
type download struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	want  span
	entry api.Entry
	begun bool
}

func (d *download) begin() {
	d.begun = true
	h := d.w.Header()
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream") // never what the file says it is: it would run in the dashboard's origin
	h.Set("Content-Disposition", disposition(path.Base(d.entry.Path)))
	h.Set("Content-Length", strconv.FormatInt(d.want.length, 10))
	if d.want.length == d.entry.Size {
		d.w.WriteHeader(http.StatusOK)
		return
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", d.want.from, d.want.from+d.want.length-1, d.entry.Size))
	d.w.WriteHeader(http.StatusPartialContent)
}

// Write implements io.Writer.
func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begin()
	}
	_ = d.rc.SetWriteDeadline(time.Now().Add(writePatience)) // not every writer has deadlines
	return d.w.Write(b)
}

// disposition is the header that makes a browser save the file under its name (RFC 6266).
func disposition(name string) string {
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}

// span is a part of a file.
type span struct{ from, length int64 }

// parseRange reads a Range header with one range of bytes (RFC 9110, 14.2). Any other is the whole file, as is none;
// ok is false for a range that begins behind the end.
func parseRange(header string, size int64) (s span, ok bool) {
	whole := span{length: size}
	spec, found := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !found || !dash || strings.Contains(spec, ",") {
		return whole, true
	}
	if first == "" { // the last bytes
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return whole, true
		}
		n = min(n, uint64(size))
		return span{size - int64(n), int64(n)}, n > 0
	}
	from, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return whole, true
	}
	to := uint64(size) - 1
	if last != "" {
		if to, err = strconv.ParseUint(last, 10, 63); err != nil || to < from {
			return whole, true
		}
	}
	if from >= uint64(size) {
		return whole, false
	}
	to = min(to, uint64(size)-1)
	return span{int64(from), int64(to-from) + 1}, true
}
