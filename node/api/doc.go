// Package api is the local HTTP API of a node: the vocabulary of requests and results (types.go), a
// server and a client that speak it over a Unix socket.
//
// Every command is a client, also the one that hosts the node in its own process, so there is one code
// path from a verb to a node. The endpoints:
//
//	GET  /healthz         constant 200: a process answers
//	GET  /readyz          200 once the node is up, 503 before
//	GET  /version         {"version":…, "api":1}
//	GET  /api/v1/status   Status
//	GET  /api/v1/show     ?set=SET, SetInfo
//	POST /api/v1/ls       LsRequest, LsResult
//	POST /api/v1/rm       RmRequest, RmResult
//	POST /api/v1/gc       {}, GCResult
//	POST /api/v1/history  HistoryRequest, HistoryResult
//	POST /api/v1/diff     DiffRequest, DiffResult
//	POST /api/v1/unfollow UnfollowRequest, UnfollowResult
//	POST /api/v1/members  MembersRequest, MembersResult
//	POST /api/v1/grant    GrantRequest, GrantResult
//	POST /api/v1/revoke   RevokeRequest, RevokeResult
//	POST /api/v1/invite   InviteRequest, InviteResult
//	POST /api/v1/rename   RenameRequest, RenameResult
//	POST /api/v1/promote  PromoteRequest, PromoteResult
//	POST /api/v1/export-owner  {}, OwnerKey
//	POST /api/v1/import-owner  ImportOwnerRequest, ImportOwnerResult
//	POST /api/v1/availability  AvailabilityRequest, AvailabilityResult
//	POST /api/v1/content  ContentRequest, bytes
//	POST /api/v1/limits   {}, Limits
//	POST /api/v1/limit    LimitsRequest, Limits
//	POST /api/v1/search   SearchRequest, SearchResult
//	POST /api/v1/dashboard     {}, DashboardResult
//	POST /api/v1/stop     {}, 202: the process drains and ends
//	GET  /api/v1/doctor   DoctorResult
//	POST /api/v1/why      WhyRequest, lines
//	POST /api/v1/share    ShareRequest, lines
//	POST /api/v1/get      GetRequest, lines
//	POST /api/v1/publish  PublishRequest, lines
//	POST /api/v1/restore  RestoreRequest, lines
//	POST /api/v1/follow   FollowRequest, lines
//	POST /api/v1/verify   VerifyRequest, lines
//	POST /api/v1/failover FailoverRequest, lines
//	POST /api/v1/events   EventsRequest, lines of type event, without end
//
// Whatever else is asked goes to the resources of package rest, if the host serves them here, too: GET
// /api/v1/sets and so on. The endpoints above win.
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
