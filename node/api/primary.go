package api

// EventPrimary is the kind of an event: another node orders the revisions of a set that this node votes on, or none
// does. What happened before somebody listened is not told.
const EventPrimary = "primary"

// PrimaryChange is what an EventPrimary tells.
type PrimaryChange struct {
	From string `json:"from,omitempty"` // peer id; "" = the first one that is seen, or the one that was missed is back
	To   string `json:"to,omitempty"`   // peer id; "" = none is heard from now on
	// Of a change from one node to another: "handover" if the one before still takes part, else "lost"; and how long
	// none was heard.
	Reason  string  `json:"reason,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Traffic is what a node has moved in its life, in bytes.
type Traffic struct {
	In      map[string]int64 `json:"in"` // on the streams of all connections, by what they are for: "chunks", "delta", …
	Out     map[string]int64 `json:"out"`
	Reused  int64            `json:"reused"`  // content of new revisions that was on this disk: not sent
	Patched int64            `json:"patched"` // made of patches
	Fetched int64            `json:"fetched"` // received whole
}
