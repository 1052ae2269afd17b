package rest

import (
	"context"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shoal-p2p/shoal/node/api"
)

// None is an input or a body that says nothing.
type None struct{}

// routes is the table of endpoints.
func (a *API) routes() {
	a.nodeRoutes()
	a.setRoutes()
	a.memberRoutes()
	a.workRoutes()
	a.searchRoute()
	a.testnetRoutes()
}

// nodeRoutes are about the node as a whole.
func (a *API) nodeRoutes() {
	s := a.service
	poll(a, route{id: "status", method: "GET", path: "/status", summary: "The node as a whole"}, statusTag,
		func(ctx context.Context, _ *Seen) (api.Status, error) { return s.Status(ctx) })
	list(a, route{id: "peers", method: "GET", path: "/peers", summary: "Connected peers, by id"},
		func(p api.PeerInfo) string { return p.PeerID },
		func(ctx context.Context, _ *Slice) ([]api.PeerInfo, error) {
			st, err := s.Status(ctx)
			return st.Peers, err
		})
	ask(a, route{id: "doctor", method: "GET", path: "/doctor", summary: "What is wrong with this machine or this home"},
		func(ctx context.Context, _ *None) (api.DoctorResult, error) { return s.Doctor(ctx) })
	poll(a, route{id: "limits", method: "GET", path: "/limits", summary: "Limits in force"}, limitsTag,
		func(ctx context.Context, _ *Seen) (api.Limits, error) { return s.Limits(ctx) })
	act(a, route{id: "set-limits", method: "PUT", path: "/limits", summary: "Change limits; what is left out stays", of: a.limitsVersion}, nil, s.SetLimits)
	poll(a, route{id: "settings", method: "GET", path: "/settings", summary: "The settings as a node that is started now would have them, and where each comes from"},
		func(s Settings) string { return etag(nil, s) }, a.settings)
	act(a, route{id: "owner-export", method: "POST", path: "/owner-key/export", summary: "The owner key of this home: a secret"}, nil,
		func(ctx context.Context, _ None) (api.OwnerKey, error) { return s.ExportOwner(ctx) })
	act(a, route{id: "owner-import", method: "POST", path: "/owner-key/import", summary: "Bring an owner key into this home", needs: "key"}, nil, s.ImportOwner)
	act(a, route{id: "stop", method: "POST", path: "/stop", summary: "Drain and end the process"}, nil, a.stopProcess)
	a.streamRoute()
}

// Setting is one value of the configuration.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

// Settings are all of them.
type Settings struct {
	Settings []Setting `json:"settings" nullable:"false"`
}

func (a *API) settings(context.Context, *Seen) (Settings, error) {
	if a.opts.Settings == nil {
		return Settings{Settings: []Setting{}}, nil
	}
	all, err := a.opts.Settings()
	return Settings{Settings: all}, err
}

// Sought narrows a list of sets.
type Sought struct {
	Slice
	Query string `query:"q" maxLength:"256" doc:"part of the name, or the beginning of the id"`
}

// Pair names two revisions and a part of what changed between them.
type Pair struct {
	BySet
	Slice
	A uint64 `query:"a" doc:"0 = the one before b"`
	B uint64 `query:"b" doc:"0 = the newest"`
}

// Within asks for the entries of a folder.
type Within struct {
	BySet
	Slice
	Path string `query:"path" maxLength:"4096" doc:"a folder or file of the set; empty = its top"`
}

// History asks for revisions.
type History struct {
	BySet
	Slice
	Verify bool `query:"verify" doc:"check every signature, and that each names the one before it"`
}

// OneSet asks for what is told of one set.
type OneSet struct {
	BySet
	Seen
}

// Removal forgets a set.
type Removal struct {
	BySet
	Held
	Files bool `query:"files" doc:"its files, too"`
}

// Columns asks for an availability strip.
type Columns struct {
	BySet
	Columns int `query:"columns" minimum:"1" maximum:"512" default:"64" doc:"parts that the revision is cut into"`
}

// setRoutes look into sets.
func (a *API) setRoutes() {
	s := a.service
	list(a, route{id: "sets", method: "GET", path: "/sets", summary: "Sets of this node, by name"},
		func(i api.SetInfo) string { return i.Name + "\x00" + i.Set },
		func(ctx context.Context, in *Sought) ([]api.SetInfo, error) {
			all, err := s.Ls(ctx, api.LsRequest{})
			return matching(all.Sets, in.Query), err
		})
	poll(a, route{id: "set", method: "GET", path: "/sets/{set}", summary: "One set, with its ticket"}, setTag,
		func(ctx context.Context, in *OneSet) (api.SetInfo, error) { return s.Show(ctx, in.Set) })
	ask(a, route{id: "forget", method: "DELETE", path: "/sets/{set}", summary: "Forget a set; its files stay unless asked otherwise"},
		func(ctx context.Context, in *Removal) (api.RmResult, error) {
			return holding(ctx, a, in.Match, func(ctx context.Context) (string, error) { return a.setVersion(ctx, in.Set) },
				func(ctx context.Context) (api.RmResult, error) {
					return s.Rm(ctx, api.RmRequest{Set: in.Set, Files: in.Files})
				})
		})
	list(a, route{id: "revisions", method: "GET", path: "/sets/{set}/revisions", summary: "Revisions, newest first"},
		func(r api.Revision) string { return down(r.Revision, r.Head) },
		func(ctx context.Context, in *History) ([]api.Revision, error) {
			h, err := s.History(ctx, api.HistoryRequest{Set: in.Set, Verify: in.Verify})
			return h.Revisions, err
		})
	poll(a, route{id: "diff", method: "GET", path: "/sets/{set}/diff", summary: "What changed between two revisions, by path"},
		func(d Diff) string { return etag(nil, d) }, a.diff)
	list(a, route{id: "files", method: "GET", path: "/sets/{set}/files", summary: "Entries of a folder, by path"},
		func(e api.Entry) string { return e.Path },
		func(ctx context.Context, in *Within) ([]api.Entry, error) {
			l, err := s.Ls(ctx, api.LsRequest{Set: in.Set, Path: in.Path})
			return l.Entries, err
		})
	a.contentRoute()
	ask(a, route{id: "availability", method: "GET", path: "/sets/{set}/availability", summary: "Who has how much of the newest revision"},
		func(ctx context.Context, in *Columns) (api.AvailabilityResult, error) {
			return s.Availability(ctx, api.AvailabilityRequest{Set: in.Set, Columns: in.Columns})
		})
}

// matching are the sets whose name contains q, whatever its case, or whose id begins with it.
func matching(all []api.SetInfo, q string) []api.SetInfo {
	var out []api.SetInfo
	for _, i := range all {
		if strings.Contains(strings.ToLower(i.Name), strings.ToLower(q)) || strings.HasPrefix(i.Set, q) {
			out = append(out, i)
		}
	}
	return out
}

// Diff is a part of what changed.
type Diff struct {
	api.DiffResult
	Next string `json:"next" doc:"cursor of the next page; empty = this is the last"`
}

func (a *API) diff(ctx context.Context, in *Pair) (Diff, error) {
	d, err := a.service.Diff(ctx, api.DiffRequest{Set: in.Set, A: in.A, B: in.B})
	if err != nil {
		return Diff{}, err
	}
	page, err := cut(d.Changes, func(c api.Change) string { return c.Path + "\x00" + c.Op + "\x00" + c.From }, in.Slice)
	d.Changes = page.Items
	return Diff{d, page.Next}, err
}

// Loss takes rights from a peer.
type Loss struct {
	BySet
	Held
	Peer  string `query:"peer" required:"true" maxLength:"512" doc:"peer id, or the beginning of one that the set lists"`
	Right string `query:"right" enum:"reader,replica,writer" doc:"absent = all"`
	Own   bool   `query:"own" doc:"also if it is this node that loses them"`
}

// Ended names an invite.
type Ended struct {
	BySet
	Nonce string `path:"nonce" maxLength:"256" doc:"of the invite, or the beginning of it"`
}

// memberRoutes are about who takes part in a set.
func (a *API) memberRoutes() {
	s := a.service
	poll(a, route{id: "members", method: "GET", path: "/sets/{set}/members", summary: "Members of a set, and invites made here"}, membersTag,
		func(ctx context.Context, in *OneSet) (api.MembersResult, error) {
			return s.Members(ctx, api.MembersRequest{Set: in.Set})
		})
	act(a, route{id: "grant", method: "POST", path: "/sets/{set}/members", summary: "Give a node a right", needs: "peer right", given: "set", of: a.membersVersion},
		func(q *api.GrantRequest, set string) { q.Set = set }, s.Grant)
	ask(a, route{id: "revoke", method: "DELETE", path: "/sets/{set}/members", summary: "Take rights from a node"},
		func(ctx context.Context, in *Loss) (api.RevokeResult, error) {
			return holding(ctx, a, in.Match, func(ctx context.Context) (string, error) { return a.membersVersion(ctx, in.Set) },
				func(ctx context.Context) (api.RevokeResult, error) {
					return s.Revoke(ctx, api.RevokeRequest{Set: in.Set, Peer: in.Peer, Right: in.Right, Own: in.Own})
				})
		})
	act(a, route{id: "invite", method: "POST", path: "/sets/{set}/invites", summary: "Make a ticket to a private set", given: "set revoke"},
		func(q *api.InviteRequest, set string) { q.Set, q.Revoke = set, "" }, s.Invite)
	ask(a, route{id: "uninvite", method: "DELETE", path: "/sets/{set}/invites/{nonce}", summary: "Take an invite back"},
		func(ctx context.Context, in *Ended) (api.InviteResult, error) {
			return s.Invite(ctx, api.InviteRequest{Set: in.Set, Revoke: in.Nonce})
		})
	act(a, route{id: "rename", method: "POST", path: "/sets/{set}/rename", summary: "Give a set another name", needs: "name", given: "set", of: a.setVersion},
		func(q *api.RenameRequest, set string) { q.Set = set }, s.Rename)
	act(a, route{id: "promote", method: "POST", path: "/sets/{set}/promote", summary: "Hand the role of the primary to another replica", needs: "peer", given: "set", of: a.setVersion},
		func(q *api.PromoteRequest, set string) { q.Set = set }, s.Promote)
	act(a, route{id: "unfollow", method: "POST", path: "/sets/{set}/unfollow", summary: "Leave a folder as it is", given: "set", of: a.setVersion},
		func(q *api.UnfollowRequest, set string) { q.Set = set }, s.Unfollow)
}

// workRoutes begin operations, and tell of them.
func (a *API) workRoutes() {
	s := a.service
	long(a, route{id: "share", path: "/sets", summary: "Make a set of a folder, or update the one it is", needs: "path"}, nil, s.Share)
	long(a, route{id: "get", path: "/fetches", summary: "Fetch a revision of a set into a folder, once", needs: "ticket"}, nil, s.Get)
	long(a, route{id: "peek", path: "/peek", summary: "List a folder of a set that need not be here", needs: "ticket"}, nil, s.Peek)
	long(a, route{id: "follow", path: "/follows", summary: "Keep a folder at the newest revision of a set", needs: "ticket"}, nil, s.Follow)
	long(a, route{id: "follow-set", path: "/sets/{set}/follow", summary: "Keep a folder at the newest revision of a set known here", given: "ticket"},
		func(q *api.FollowRequest, set string) { q.Ticket = set }, s.Follow)
	long(a, route{id: "publish", path: "/sets/{set}/publish", summary: "Make the next revision if something changed", given: "target"},
		func(q *api.PublishRequest, set string) { q.Target = set }, s.Publish)
	long(a, route{id: "verify", path: "/sets/{set}/verify", summary: "Read and hash every block", given: "set"},
		func(q *api.VerifyRequest, set string) { q.Set = set }, s.Verify)
	long(a, route{id: "restore", path: "/sets/{set}/restore", summary: "Write an earlier revision into a folder of its own", needs: "rev dest", given: "set"},
		func(q *api.RestoreRequest, set string) { q.Set = set }, s.Restore)
	long(a, route{id: "failover", path: "/sets/{set}/failover", summary: "Rehearse the loss of the primary", given: "set"},
		func(q *api.FailoverRequest, set string) { q.Set = set }, s.Failover)
	long(a, route{id: "why", path: "/why", summary: "Walk the way to a set, to the first step that is broken", needs: "ticket"}, nil, s.Why)
	long(a, route{id: "gc", path: "/gc", summary: "Give back the disk space of what no set holds"}, nil,
		func(ctx context.Context, _ None, _ func(api.Progress)) (api.GCResult, error) { return s.GC(ctx) })

	list(a, route{id: "operations", method: "GET", path: "/operations", summary: "Operations, newest first"},
		func(o Operation) string { return down(o.seq, "") },
		func(context.Context, *Slice) ([]Operation, error) {
			all, _ := a.listed(0)
			return all, nil
		})
	ask(a, route{id: "operation", method: "GET", path: "/operations/{id}", summary: "How an operation goes, or went"}, a.operationOf)
	ask(a, route{id: "cancel", method: "DELETE", path: "/operations/{id}", summary: "Cancel an operation; forget one that has ended"}, a.dropOperation)
}

// Search is what is looked for.
type Search struct {
	Slice
	Query string `query:"q" required:"true" minLength:"1" maxLength:"1024" doc:"part of a name, or a pattern with * ? [ that all of it fits"`
	Set   string `query:"set" maxLength:"512" doc:"only in this one"`
}

// hits is a page of what was found.
type hits struct {
	Status int
	Link   string `header:"Link" doc:"rel=next: the next page"`
	ETag   string `header:"ETag" doc:"of this answer"`
	Body   api.SearchResult
}

// searchRoute registers the search, which makes its pages itself: it does not look at all sets for each.
func (a *API) searchRoute() {
	r := route{id: "search", method: "GET", path: "/search", summary: "Sets and files by name"}
	op := a.operation(r)
	unmodified(&op)
	huma.Register(a.huma, op, func(ctx context.Context, in *Search) (*hits, error) {
		res, err := guard(ctx, a, r.id, func(ctx context.Context) (api.SearchResult, error) {
			return a.service.Search(ctx, api.SearchRequest{Pattern: in.Query, Set: in.Set, Limit: in.Limit, Cursor: in.Cursor})
		})
		if err != nil {
			return nil, failed(err)
		}
		t := tagged(res, etag(nil, res), in.IfNone)
		return &hits{t.Status, link(in.at, res.Next), t.ETag, res}, nil
	})
}

// Stopping says that the process ends.
type Stopping struct {
	Stopping bool `json:"stopping"`
}

// stopProcess ends the process. Stop returns at once: the answer is out before the server ends, since the server
// waits for the requests that it has.
func (a *API) stopProcess(context.Context, None) (Stopping, error) {
	if a.opts.Stop == nil {
		return Stopping{}, &api.Error{Code: api.CodeNoEndpoint, ExitCode: api.ExitDenied, Title: "this node cannot be stopped over its API"}
	}
	a.opts.Stop()
	return Stopping{true}, nil
}

// binary is a response of bytes, for the document.
func binary(what string) *huma.Response {
	return &huma.Response{Description: what, Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
}
