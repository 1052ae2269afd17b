package api

import (
	"context"
	"net/http"
)

// CodeStays is of a host that does not give its home up to another one: a node that runs until it is stopped, or a command
// that may not go on through somebody else's.
const CodeStays = "stays"

// ends is an endpoint that makes the host end, once its answer is out: {what: true}. With a nil end it refuses.
func ends(what string, end func(), refusal *Error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q none
		if e := decode(w, r, &q); e != nil {
			writeProblem(w, httpStatus(e), e)
			return
		}
		if end == nil {
			writeProblem(w, httpStatus(refusal), refusal)
			return
		}
		writeJSON(w, http.StatusAccepted, map[string]any{what: true})
		_ = http.NewResponseController(w).Flush() // the answer has to be out before the server ends
		end()
	}
}

// leaving are the endpoints after which the host is gone.
func (h *handler) leaving(mux *http.ServeMux) {
	stop := ends("stopping", h.opts.Stop, &Error{Code: CodeNoEndpoint, ExitCode: ExitDenied, Title: "this node cannot be stopped over its API"})
	mux.HandleFunc("POST /cli/v1/stop", stop)
	if h.opts.Resources == nil { // which have it, too
		mux.HandleFunc("POST "+firstStop, stop)
	}
	mux.HandleFunc("POST /cli/v1/yield", ends("yielding", h.opts.Yield,
		&Error{Code: CodeStays, ExitCode: ExitStore, Title: "this node does not give its home up to another one"}))
}

// Yield asks a command that hosts the node to leave the home to a node that stays, and to go on as a client of that; it returns
// when that was accepted. ErrHostGone when it ended meanwhile; an *Error when it stays: CodeStays, or CodeNoEndpoint of an
// older program. It works with a node of any API version.
func (c *Client) Yield(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, "yield", http.MethodPost, prefix+"yield", none{})
	return err
}
