package main

import (
	"context"

	"github.com/shoal-p2p/shoal/node/api"
)

// Why finds every set that is known; FAKE_REFUSED takes the right to read it.
func (f *fakeHost) Why(_ context.Context, r api.WhyRequest, progress func(api.Progress)) (api.WhyResult, error) {
	progress(api.Progress{Phase: api.StepLink, Message: "looking at the\x1b words"})
	s, err := f.find(r.Ticket)
	if err != nil {
		return api.WhyResult{Code: api.WhyBadTicket, ExitCode: api.ExitUsage, Steps: []api.WhyStep{{Name: api.StepLink,
			Detail: "this is no ticket: \x1b[2J", Hint: "copy what `node share` printed", Seconds: 0.5}}}, nil
	}
	out := api.WhyResult{Set: s.Set, Name: s.Name, OK: true, Steps: []api.WhyStep{
		{Name: api.StepLink, OK: true, Detail: "set " + s.Set, Seconds: 0.5}, {Name: api.StepKey, OK: true, Detail: "read as 12D3KooWFake", Seconds: 0.25}}}
	if f.getenv("FAKE_REFUSED") != "" {
		out.OK, out.Code, out.ExitCode = false, api.WhyNotAuthorised, api.ExitDenied
		out.Steps = append(out.Steps, api.WhyStep{Name: api.StepAuthorisation, Detail: "it is private", Hint: "`node grant SET PEER reader`", Seconds: 1})
	}
	return out, nil
}

func (f *fakeHost) Doctor(context.Context) (api.DoctorResult, error) {
	return api.DoctorResult{OK: true, Home: f.cfg.Home, Checks: []api.Check{{Name: "home", State: api.CheckOK, Detail: "can be written"},
		{Name: "open files", State: api.CheckWarn, Detail: "1024 at most", Hint: "`ulimit -n 8192`"}}}, nil
}
