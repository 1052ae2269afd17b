package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

const (
	// Major is the version of what commands and nodes say to each other; a client refuses a node that speaks another one.
	Major = 2
	// lineVersion is the version of the lines that --json prints.
	lineVersion = 1
	// prefix is where the commands' endpoints begin. Those of package rest are below /api/v1/.
	prefix = "/cli/v1/"
	// firstStop ends a node in version 1, which had all endpoints there, and in every later one.
	firstStop = "/api/v1/stop"
)

var (
	// ErrNoNode is answered by Dial when nobody answers at the socket.
	ErrNoNode = errors.New("no node answers")
	// ErrHostGone is answered by every method of Client when the node went away before it had given
	// its answer. Whether the operation took place is not known; all operations may be repeated.
	ErrHostGone = errors.New("the node went away")
)

// Codes of errors that this package makes itself.
const (
	CodeBadRequest   = "bad_request"   // a body that is not the endpoint's request
	CodeTooLarge     = "too_large"     // a body over the cap
	CodeNoEndpoint   = "no_endpoint"   // a path or method that is not served
	CodeStopping     = "node_stopping" // the node ends; ask the next one
	CodeOfflineHost  = "offline_host"  // the host is a command that runs without network, for a short time
	CodeAPIMismatch  = "api_mismatch"  // the node speaks another major version
	CodeBug          = "bug"           // a panic was caught
	CodeNotWritable  = "not_writable"  // the folder that was named cannot be written
	CodeInterrupted  = "interrupted"   // the operation's context was cancelled
	CodeTimeout      = "timeout"       // the operation's deadline passed
	CodeFailed       = "failed"        // none of the others
	statusStopping   = http.StatusServiceUnavailable
	problemMediaType = "application/problem+json"
)

// AsError is the *Error in err's chain, or else one made of err: deadline and cancellation are known,
// anything else is a plain failure. It is nil only for a nil err.
func AsError(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e != nil:
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeTimeout, ExitCode: ExitTimeout, Title: "timed out", Detail: err.Error(), Retryable: true}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeInterrupted, ExitCode: ExitInterrupted, Title: "interrupted before it was complete", Retryable: true}
	default:
		return &Error{Code: CodeFailed, ExitCode: ExitFailed, Title: err.Error()}
	}
}

// Line is one NDJSON line: the JSON object v with "type" and "v" put before its own members, and a
// newline. v must marshal to an object.
func Line(kind string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", kind, err)
	}
	if len(body) < 2 || body[0] != '{' {
		return nil, fmt.Errorf("encode %s: not a JSON object", kind)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"type":%q,"v":%d`, kind, lineVersion)
	if len(body) > len("{}") {
		b.WriteByte(',')
	}
	b.Write(body[1:])
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// problem is the RFC 9457 body: the members of Error plus type and status.
type problem struct {
	Type   string `json:"type"`
	Status int    `json:"status"`
	*Error
}

func writeProblem(w http.ResponseWriter, status int, e *Error) {
	body, err := json.Marshal(problem{Type: "urn:shoal:problem:" + e.Code, Status: status, Error: e})
	if err != nil {
		http.Error(w, e.Title, status)
		return
	}
	w.Header().Set("Content-Type", problemMediaType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left does not care
}

// httpStatus is the status for an error's exit code; unknown codes are failures of the server. A folder that cannot be
// written is the asker's choice, whatever the exit code.
func httpStatus(e *Error) int {
	if e.Code == CodeNotWritable {
		return http.StatusConflict
	}
	switch e.ExitCode {
	case ExitUsage:
		return http.StatusBadRequest
	case ExitNotFound:
		return http.StatusNotFound
	case ExitTimeout:
		return http.StatusGatewayTimeout
	case ExitIntegrity:
		return http.StatusUnprocessableEntity
	case ExitConflict, ExitInterrupted: // somebody else ended it
		return http.StatusConflict
	case ExitDenied:
		return http.StatusForbidden
	case ExitNoSpace:
		return http.StatusInsufficientStorage
	case ExitNeedsNode, ExitStore:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
