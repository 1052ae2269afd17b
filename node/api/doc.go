// Package api is the local HTTP API of a node: the vocabulary of requests and results (types.go), a
// server and a client that speak it over a Unix socket.
//
// Every command is a client, also the one that hosts the node in its own process, so there is one code
// path from a verb to a node. The endpoints:
//
//	GET  /healthz         constant 200: a process answers
//	GET  /readyz          200 once the node is up, 503 before
//	GET  /version         {"version":…, "api":2, "transient":…, "settings":{…}}
//	GET  /cli/v1/status   Status
//	GET  /cli/v1/show     ?set=SET, SetInfo
//	POST /cli/v1/ls       LsRequest, LsResult
//	POST /cli/v1/rm       RmRequest, RmResult
//	POST /cli/v1/gc       {}, GCResult
//	POST /cli/v1/history  HistoryRequest, HistoryResult
//	POST /cli/v1/diff     DiffRequest, DiffResult
//	POST /cli/v1/unfollow UnfollowRequest, UnfollowResult
//	POST /cli/v1/members  MembersRequest, MembersResult
//	POST /cli/v1/grant    GrantRequest, GrantResult
//	POST /cli/v1/revoke   RevokeRequest, RevokeResult
//	POST /cli/v1/invite   InviteRequest, InviteResult
//	POST /cli/v1/rename   RenameRequest, RenameResult
//	POST /cli/v1/promote  PromoteRequest, PromoteResult
//	POST /cli/v1/export-owner  {}, OwnerKey
//	POST /cli/v1/import-owner  ImportOwnerRequest, ImportOwnerResult
//	POST /cli/v1/availability  AvailabilityRequest, AvailabilityResult
//	POST /cli/v1/content  ContentRequest, bytes
//	POST /cli/v1/limits   {}, Limits
//	POST /cli/v1/limit    LimitsRequest, Limits
//	POST /cli/v1/search   SearchRequest, SearchResult
//	POST /cli/v1/dashboard     {}, DashboardResult
//	POST /cli/v1/renew    {}, {}: another token for the dashboard
//	POST /cli/v1/stop     {}, 202: the process drains and ends
//	POST /cli/v1/yield    {}, 202: a command that hosts the node leaves the home to one that stays
//	GET  /cli/v1/doctor   DoctorResult
//	POST /cli/v1/why      WhyRequest, lines
//	POST /cli/v1/share    ShareRequest, lines
//	POST /cli/v1/get      GetRequest, lines
//	POST /cli/v1/peek     PeekRequest, lines
//	POST /cli/v1/publish  PublishRequest, lines
//	POST /cli/v1/restore  RestoreRequest, lines
//	POST /cli/v1/follow   FollowRequest, lines
//	POST /cli/v1/verify   VerifyRequest, lines
//	POST /cli/v1/failover FailoverRequest, lines
//	POST /cli/v1/events   EventsRequest, lines of type event, without end
//
// Whatever else is asked goes to the resources of package rest, if the host serves them here, too: GET
// /api/v1/sets and so on answer as they do over TCP. POST /api/v1/stop ends a node of any version.
//
// A failure of a plain endpoint is application/problem+json (RFC 9457) with the members of Error.
// "Lines" are NDJSON, every object with "type" and "v": progress at most four times a second, then one
// result or error, which is the last. An answer that ends without that last line means that the host
// went away in the middle: the client reports ErrHostGone and its caller starts over. An operation ends
// when its client disconnects. Events are kept for a client that reads slowly, 256 of them; a notice says how
// many it missed beyond that.
//
// Request bodies are at most 1 MiB and may hold no unknown members. Access is the socket's: mode 0600 in
// a folder of mode 0700.
package api
