package api

import (
	"context"
	"net/http"
)

// This file is the part of the vocabulary that is about what is wrong: with the way to a set, and with the machine.

// WhyRequest asks why a set cannot be had here.
type WhyRequest struct {
	Ticket string `json:"ticket"`         // as in GetRequest
	Rev    uint64 `json:"rev,omitempty"`  // 0 = the newest
	Deep   bool   `json:"deep,omitempty"` // ask for every chunk, however many; else for as many as take a moment
}

// Steps of the way from a ticket to the bytes, in the order they are walked.
const (
	StepLink          = "link"          // the text is a ticket, a set id, or a set that is known here
	StepKey           = "key"           // what is signed in it is right and made for this node
	StepBootstrap     = "bootstrap"     // there is somebody to join the network through
	StepTable         = "table"         // the hash table has peers to ask
	StepRecord        = "record"        // somebody is on record as a holder
	StepDial          = "dial"          // a holder answers
	StepAuthorisation = "authorisation" // a holder lets this node read
	StepRevision      = "revision"      // a holder has the revision
	StepChunk         = "chunk"         // every chunk is to be had
)

// Codes of what is broken. A new one is only ever added.
const (
	WhyBadTicket     = "malformed_ticket"
	WhyWrongKey      = "wrong_key" // an invite for somebody else, another node at the address, records of another set
	WhyNoBootstrap   = "no_bootstrap"
	WhyEmptyTable    = "empty_table"
	WhyNoRecord      = "no_provider_record"
	WhyProviderGone  = "provider_gone" // the holders are silent, went away, or gave the set up
	WhyDialRefused   = "dial_refused"  // a machine is there and refuses the connection, or a node that turns this one away
	WhyNotAuthorised = "not_authorised"
	WhyNoRevision    = "revision_not_held"
	WhyNoChunk       = "chunk_missing"
	WhyDamagedHere   = "damaged_here" // what this node promises others is not on its own disk as it was
)

// WhyResult is how far the way is walkable: the first step that is broken is the last one.
type WhyResult struct {
	Set      string    `json:"set,omitempty"`
	Name     string    `json:"name,omitempty"`
	OK       bool      `json:"ok"`
	Code     string    `json:"code,omitempty"` // of Why*; "" if nothing is broken
	ExitCode int       `json:"exit_code"`      // what a command ends with that says so
	Steps    []WhyStep `json:"steps"`
}

// WhyStep is one step: what was found, and if it is broken what to type next.
type WhyStep struct {
	Name    string  `json:"name"` // of Step*
	OK      bool    `json:"ok"`
	Detail  string  `json:"detail"`
	Hint    string  `json:"hint,omitempty"`
	Seconds float64 `json:"seconds"`
}

// States of a Check.
const (
	CheckOK      = "ok"
	CheckWarn    = "warn" // it works, not as well as it could
	CheckFail    = "fail" // something does not work
	CheckSkipped = "skipped"
)

// DoctorResult is what was found of a machine and a home.
type DoctorResult struct {
	OK     bool    `json:"ok"` // nothing failed
	Home   string  `json:"home"`
	Checks []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // of Check*
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // what to type or change next
}

// Examiner finds out what is wrong. What it finds is a result, not an error.
type Examiner interface {
	Why(ctx context.Context, r WhyRequest, progress func(Progress)) (WhyResult, error)
	Doctor(ctx context.Context) (DoctorResult, error)
}

// Why implements Service.
func (c *Client) Why(ctx context.Context, r WhyRequest, progress func(Progress)) (WhyResult, error) {
	return await[WhyResult](ctx, c, "why", r, listener{progress: progress})
}

// Doctor implements Service.
func (c *Client) Doctor(ctx context.Context) (DoctorResult, error) {
	return checked[DoctorResult](ctx, c, "doctor", http.MethodGet, "doctor", nil)
}

// examining are the endpoints about what is wrong.
func (h *handler) examining(mux *http.ServeMux) {
	mux.HandleFunc("POST /cli/v1/why", stream(h, h.service.Why, always))
	mux.HandleFunc("GET /cli/v1/doctor", plain(h, func(ctx context.Context, _ *http.Request, _ none) (DoctorResult, error) {
		return h.service.Doctor(ctx)
	}))
}
