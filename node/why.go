package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// routes are the ways by which holders are found.
type routes interface {
	// entries are the peers to join the network through, and how many peers are connected.
	entries() (known []peer.AddrInfo, connected int)
	// table waits until the hash table has peers or ctx ends, and tells how many; on is false if this node takes part
	// in none.
	table(ctx context.Context) (size int, on bool)
	// recorded are the peers on record as holders that are heard of before ctx ends; of many, some.
	recorded(ctx context.Context, set cid.Cid) []peer.AddrInfo
}

// counterparts are the peers that are asked.
type counterparts interface {
	dialer
	asker
}

// dialer reaches peers.
type dialer interface {
	Connect(ctx context.Context, p peer.AddrInfo) error
}

// asker asks those that were reached.
type asker interface {
	Info(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (list.Info, error)
	History(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error)
	Blocks(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (blockReader, error)
}

// ownCopy is what this node has of a set itself.
type ownCopy struct {
	name     string
	cap      []byte
	holders  []peer.AddrInfo // that had it the last time, and members
	verified record.Verified
	picture  list.Info
	shared   bool // it is published from here: nothing has to be fetched
	head     func(revision uint64) (record.Head, error)
	layout   func(ctx context.Context, root cid.Cid) (*dag.Layout, error)
	read     func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error)
	harm     func(ctx context.Context) (what, cure string) // that is known of it; "" = none
}

// inquiry walks the way from a ticket to the bytes; each step leaves to the next what it found.
type inquiry struct {
	self    peer.ID
	find    func(text string) (record.Ticket, *ownCopy, error)
	routes  routes
	peers   counterparts
	now     func() time.Time
	shuffle func(n int, swap func(i, j int))
	tell    func(api.Progress)
	q       api.WhyRequest

	step   string // that is being walked
	ticket record.Ticket
	mine   *ownCopy         // nil: the set is not known here
	named  []peer.AddrInfo  // who may have it
	onFile map[peer.ID]bool // of those, who is on record
	asked  []witness        // what those said
	target *target          // what is to be had
}

// whyStep is one step of the way. It tells what it found; an error that is a *broken ends the way, any other the inquiry.
type whyStep struct {
	name string
	walk func(*inquiry, context.Context) (string, error)
}

func whySteps() []whyStep {
	return []whyStep{
		{api.StepLink, (*inquiry).link},
		{api.StepKey, (*inquiry).key},
		{api.StepBootstrap, (*inquiry).bootstrap},
		{api.StepTable, (*inquiry).table},
		{api.StepRecord, (*inquiry).record},
		{api.StepDial, (*inquiry).dial},
		{api.StepAuthorisation, (*inquiry).authorisation},
		{api.StepRevision, (*inquiry).revision},
		{api.StepChunk, (*inquiry).chunk},
	}
}

// broken is what a step found to be so.
type broken struct {
	code   string // of api.Why*
	detail string
	hint   string // what to type next; "" = what the breakage says
}

func (b *broken) Error() string { return b.code + ": " + b.detail }

func breakf(code, format string, args ...any) error {
	return &broken{code: code, detail: fmt.Sprintf(format, args...)}
}

// breakage is what people are told of a code: what it is, and what to type next.
type breakage struct {
	code  string
	exit  int
	title string
	hint  string
}

func breakages() []breakage {
	return []breakage{
		{api.WhyBadTicket, api.ExitUsage, "this is no ticket, and no set of this node", "copy the whole line that `node share` printed, or get it from a file: `node get @FILE`; `node ls` lists the sets of this node"},
		{api.WhyWrongKey, api.ExitDenied, "a key does not fit", "ask who shared it for a new ticket: `node show SET` there prints one for everybody, `node invite SET --reader PEER` one for this node, whose PEER is what `node id` prints"},
		{api.WhyNoBootstrap, api.ExitTimeout, "there is nobody to join the network through", "`node config set p2p.bootstrap ADDRESS` with an address that `node status` prints on a machine that is up; or use the full ticket, which names addresses itself"},
		{api.WhyEmptyTable, api.ExitTimeout, "the hash table knows no peer", "check that one of the bootstrap nodes runs and can be dialled from here: `node doctor`; or add another: `node config set p2p.bootstrap ADDRESS...`"},
		{api.WhyNoRecord, api.ExitNotFound, "nobody is on record as a holder", "on the machine that shares it: `node status` has to list the set and at least one peer; then check the set id, letter by letter"},
		{api.WhyProviderGone, api.ExitTimeout, "whoever had it is gone", "start it again there: `node run`; if it has moved, ask for a fresh ticket: `node show SET` there"},
		{api.WhyDialRefused, api.ExitTimeout, "where a holder should be this node is turned away", "look at the log there for this node's id; a firewall or proxy in between has to let TCP and UDP of its port through; a node that is full or has banned this one takes it again within an hour"},
		{api.WhyNotAuthorised, api.ExitDenied, "this node may not read it", "on the owner's machine: `node grant SET PEER reader` or `node invite SET`; if everybody may read the set, `node ls` there has to list it"},
		{api.WhyNoRevision, api.ExitNotFound, "no holder that answers has the revision", "`node get SET` fetches the newest there is; start a node that has this one, or wait until a holder has followed"},
		{api.WhyNoChunk, api.ExitIntegrity, "bytes of it are nowhere to be had", "on a machine that had them: `node verify SET`, put the files back, then `node publish SET`; or `node verify SET --heal` once another holder is up"},
		{api.WhyDamagedHere, api.ExitIntegrity, "others are promised bytes that are not on this disk any more", "put the files back, then `node verify SET`; or `node publish SET` to publish the folder as it is"},
	}
}

// walk goes from step to step until one is broken. Errors: ctx's.
func (i *inquiry) walk(ctx context.Context, steps []whyStep) (api.WhyResult, error) {
	out := api.WhyResult{OK: true, Steps: []api.WhyStep{}}
	for _, s := range steps {
		i.step = s.name
		i.tell(api.Progress{Phase: s.name})
		begun := i.now()
		detail, err := s.walk(i, ctx)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		step := api.WhyStep{Name: s.name, OK: err == nil, Detail: detail}
		var b *broken
		switch {
		case errors.As(err, &b):
			out.OK, out.Code = false, b.code
			for _, known := range breakages() {
				if known.code == b.code {
					out.ExitCode, step.Detail, step.Hint = known.exit, known.title+": "+b.detail, cmp.Or(b.hint, known.hint)
				}
			}
		case err != nil:
			return out, fmt.Errorf("why: %s: %w", s.name, err)
		}
		step.Seconds = i.now().Sub(begun).Seconds()
		out.Steps = append(out.Steps, step)
		if !out.OK {
			break
		}
	}
	if i.ticket.Set.Defined() {
		out.Set, out.Name = i.ticket.Set.String(), i.ticket.Name
	}
	return out, nil
}

func (i *inquiry) link(context.Context) (string, error) {
	t, mine, err := i.find(i.q.Ticket)
	if err != nil {
		return "", breakf(api.WhyBadTicket, "%s", strings.TrimPrefix(err.Error(), record.ErrBadTicket.Error()+": "))
	}
	i.ticket, i.mine = t, mine
	for _, p := range t.Addrs {
		i.name(p)
	}
	what := fmt.Sprintf("set %s, %s", t.Set, plural(len(i.named), "peer"))
	if len(t.Cap) > 0 {
		what += ", an invite"
	}
	if mine == nil {
		return what, nil
	}
	if len(t.Cap) == 0 {
		i.ticket.Cap = mine.cap
	}
	if t.Name == "" {
		i.ticket.Name = mine.name
	}
	for _, p := range mine.holders {
		i.name(p)
	}
	return what + ", known here", nil
}

const (
	// tablePatience is how long the hash table gets for its first peer: an attempt to dial is over by then.
	tablePatience = 6 * time.Second
	// recordPatience is how long a record is looked for: one look-up that waits for dead peers, and some.
	recordPatience = 6 * time.Second
	// knownPatience is for both when they are not needed: a look-up among living peers mostly takes less.
	knownPatience = 500 * time.Millisecond
)

// patience is how long something is waited for that may take most: not at all if it cannot come, because nobody else is
// known at all.
func (i *inquiry) patience(most time.Duration) time.Duration {
	known, connected := i.routes.entries()
	switch {
	case len(i.named) == 0 && !i.published():
		return most
	case len(known)+connected == 0:
		return 0
	}
	return knownPatience
}

// name adds a peer to those that may have the set; its newest addresses come beside those known before.
func (i *inquiry) name(p peer.AddrInfo) {
	if p.ID == i.self {
		return
	}
	for n := range i.named {
		if i.named[n].ID == p.ID {
			i.named[n].Addrs = append(i.named[n].Addrs[:len(i.named[n].Addrs):len(i.named[n].Addrs)], p.Addrs...)
			return
		}
	}
	i.named = append(i.named, p)
}

// key looks at what can be known of the invite without asking anybody. Whether it still counts only a holder can tell.
func (i *inquiry) key(context.Context) (string, error) {
	as := "read as " + i.self.String()
	if i.mine != nil && i.mine.verified.Config.MayRead(i.self) {
		return as + ", who may", nil
	}
	if len(i.ticket.Cap) == 0 {
		return as + ", without an invite", nil
	}
	invite, err := record.ReadInvite(i.ticket.Cap)
	if err == nil && i.mine != nil {
		_, err = record.OpenInvite(i.ticket.Cap, i.mine.verified.Genesis)
	}
	switch {
	case err != nil:
		return "", breakf(api.WhyWrongKey, "the invite in the ticket is not a good one: %v", err)
	case !invite.Set.Equals(i.ticket.Set):
		return "", breakf(api.WhyWrongKey, "the invite in the ticket is to another set, %s", invite.Set)
	case invite.Reader != "" && invite.Reader != i.self:
		return "", breakf(api.WhyWrongKey, "the invite is for the node %s, this one is %s", invite.Reader, i.self)
	case invite.Reader != "":
		return as + ", whom the invite names", nil
	}
	return as + ", with an invite for anybody", nil
}

func (i *inquiry) bootstrap(context.Context) (string, error) {
	known, connected := i.routes.entries()
	detail := fmt.Sprintf("%s to join through, %d connected", plural(len(known), "peer"), connected)
	if len(known)+connected+len(i.named) == 0 {
		if i.published() {
			return detail + ": others find this set only if their ticket names an address of this node, or on the local network", nil
		}
		return "", breakf(api.WhyNoBootstrap, "none is configured or remembered, none is connected, and the link names none")
	}
	return detail, nil
}

func (i *inquiry) table(ctx context.Context) (string, error) {
	wait, cancel := context.WithTimeout(ctx, i.patience(tablePatience))
	defer cancel()
	size, on := i.routes.table(wait)
	if size > 0 {
		return plural(size, "peer") + " in it", nil
	}
	why := "no peer has joined it with this node"
	if !on {
		why = "this node takes part in none: discovery.dht is off"
	}
	if len(i.named) == 0 {
		i.lookAround(ctx)
	}
	if len(i.named) > 0 {
		return why + "; not needed: " + plural(len(i.named), "peer") + " known without it", nil
	}
	if i.published() {
		return why + "; this node shares the set itself", nil
	}
	known, _ := i.routes.entries()
	var tried []string
	for _, w := range i.ask(ctx, known) {
		if w.code == "" {
			w.err = errors.New("it answers, and has not joined")
		}
		tried = append(tried, w.String())
	}
	if len(tried) > 0 {
		why += "; " + strings.Join(tried[:min(len(tried), maxTold)], "; ")
	}
	return "", breakf(api.WhyEmptyTable, "%s", why)
}

// lookAround asks the peers that are at hand whether they have the set, as a get does: they are found without a record.
func (i *inquiry) lookAround(ctx context.Context) {
	known, _ := i.routes.entries()
	for _, w := range i.ask(ctx, known) {
		if w.err == nil {
			i.name(w.peer)
		}
	}
}

func (i *inquiry) record(ctx context.Context) (string, error) {
	wait, cancel := context.WithTimeout(ctx, i.patience(recordPatience))
	defer cancel()
	found := i.routes.recorded(wait, i.ticket.Set)
	before := len(i.named)
	i.onFile = map[peer.ID]bool{}
	for _, p := range found {
		i.onFile[p.ID] = true
		i.name(p)
	}
	switch {
	case i.published() && len(i.named) == 0:
		return "this node shares the set itself; nobody else is known to have it", nil
	case len(found) > 0:
		return plural(len(found), "holder") + " on record", nil
	case before > 0:
		return fmt.Sprintf("none; not needed: %s known without it", plural(before, "peer")), nil
	}
	if i.lookAround(ctx); len(i.named) > 0 {
		return "none; a peer at hand has it", nil
	}
	return "", breakf(api.WhyNoRecord, "asked for %s", i.ticket.Set)
}

// published tells whether the set is this node's own: then it is the others who miss it.
func (i *inquiry) published() bool { return i.mine != nil && i.mine.shared }

// are is a number of things that are.
func are(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return plural(n, what) + " are"
}

// plural is a number of things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
