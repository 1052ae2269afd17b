package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	libnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// roles tells who orders the revisions of a set, and hands that over.
type roles interface {
	// Roles is how a set stands, as far as this node knows.
	Roles(set cid.Cid) roleView
	// Promote asks the primary to hand its role to a voter, and returns when that is under way. Errors:
	// errNotPrimary, errNotLive.
	Promote(ctx context.Context, set cid.Cid, to peer.ID) error
}

// roleView is how a set stands.
type roleView struct {
	Role            string       // of this node; one of api.Role*
	Primary, Backup peer.ID      // "" = none is known
	Epoch           record.Epoch // of Primary
	Durable         bool         // the newest revision survives the loss of any one voter
	Stale           bool         // not in touch with a primary, or strict and without a majority
	Behind          int          // revisions that are known here and not complete
	Forks           int          // newest revisions beside the one that is shown
	Alarms          []string
	Voters          []voterView
}

// voterView is what is known of one voter.
type voterView struct {
	ID      peer.ID
	Live    bool
	Durable bool // its disk has the newest revision
}

// Errors about members.
var (
	errUnknownPeer   = errors.New("no peer is known by that")
	errAmbiguousPeer = errors.New("several peers begin so")
	errLastVoter     = errors.New("it is the only replica of the set")
	errOwnRights     = errors.New("that is this node")
	errNoInstance    = errors.New("a strict set names the store of each replica")
	errNotPrimary    = errors.New("this node is not the primary")
	errNotLive       = errors.New("that replica cannot take over now")
	errNotVoter      = errors.New("that node is no replica of the set")
)

// memberVerdicts are the rows of verdicts about members; those of hand-overs are first, because they wrap others.
func memberVerdicts() []verdict {
	return []verdict{
		{errNotPrimary, "not_primary", api.ExitFailed, "only the primary hands its role over", "`members` names it: the same command there", true},
		{errNotLive, "no_successor", api.ExitTimeout, "the role stays where it is", "start that replica and let it get all of the set: `members` shows it", true},
		{replica.ErrNotOwner, "not_owner", api.ExitDenied, "only the owner of the set may do that", "use the home that made the set, or bring its key here: `id export-owner FILE` there, `id import-owner FILE` here", false},
		{replica.ErrUnsettled, "unsettled", api.ExitConflict, "the last change of the replicas has not taken hold yet", "start the replicas that `members` lists and `publish`, then the same command", true},
		{replica.ErrTwoVoters, "two_voters", api.ExitUsage, "a strict set changes one replica at a time", "one `grant` or `revoke` after the other", false},
		{replica.ErrNotWriter, "not_writer", api.ExitDenied, "this node may not publish the set", "publish on a machine that may, or ask the owner: `grant SET PEER writer`", false},
		{replica.ErrNoPrimary, "no_primary", api.ExitTimeout, "no replica that orders revisions could be reached: nothing was published", "start one of those that `members` lists; the same command goes on from here", true},
		{replica.ErrMinority, "minority", api.ExitTimeout, "this side has no majority of the replicas: the revision counts once one has it", "start more of the replicas that `members` lists, or wait until they are in touch again", true},
		{errUnknownPeer, "unknown_peer", api.ExitNotFound, "no such peer", "give the whole id: `id` prints it on that machine", false},
		{errAmbiguousPeer, "ambiguous_peer", api.ExitUsage, "several peers match", "give more of the id, or all of it", false},
		{errLastVoter, "last_replica", api.ExitConflict, "a set cannot be without a replica", "`grant` another node replica first, and let it get all of the set", false},
		{errOwnRights, "own_rights", api.ExitConflict, "that takes rights from this node itself", "the same command with -y", false},
		{errNoInstance, "no_instance", api.ExitUsage, "a replica of a strict set is granted as PEER/INSTANCE", "`replicate TICKET` on that machine prints the whole line", false},
		{errNotVoter, "not_replica", api.ExitUsage, "only a replica can become primary", "`grant SET PEER replica` first", false},
		{errNoOwnerKey, "no_owner_key", api.ExitNotFound, "this home has no owner key", "it is made with the first set that is shared from here, or brought here with `id import-owner`", false},
		{errOtherOwner, "other_owner", api.ExitConflict, "this home has another owner key", "--replace keeps it aside in the home; or use another --home", false},
		{errNoKey, "bad_owner_key", api.ExitUsage, "that is no owner key", "give the file that `id export-owner` wrote", false},
		{errPublicSet, "public_set", api.ExitUsage, "the set needs no invite: who has its id may read it", "hand over the ticket: `show SET` prints it", false},
		{errUnknownInvite, "unknown_invite", api.ExitNotFound, "no such invite", "`members SET` lists those made here; one made elsewhere is named by its whole nonce", false},
	}
}

// Members implements api.Governor.
func (n *Node) Members(_ context.Context, q api.MembersRequest) (api.MembersResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.MembersResult{}, explain(err)
	}
	v := rep.Verified()
	c := v.Config
	out := api.MembersResult{Set: rep.Set().String(), Name: c.Name, Version: c.Version, Mode: c.Mode, Public: c.Public, Owner: n.owns(v.Genesis), Members: []api.Member{}}
	view := n.seats().Roles(rep.Set())
	for _, p := range listed(c) {
		out.Members = append(out.Members, n.member(c, p, view))
	}
	out.Invites, err = n.invitesOf(rep)
	return out, explain(err)
}

// listed names everybody in a config: voters, other writers, other readers, each in ascending order.
func listed(c record.Config) []peer.ID {
	var out []peer.ID
	for _, p := range slices.Concat(c.Voters, c.Writers, c.Readers) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func (n *Node) member(c record.Config, p peer.ID, view roleView) api.Member {
	m := api.Member{PeerID: p.String(), Rights: rights(c, p), Instance: hex.EncodeToString(c.Instances[p]), Self: p == n.self, Connected: n.connected(p)}
	switch {
	case !slices.Contains(c.Voters, p):
	case p == view.Primary:
		m.Role = api.RolePrimary
	case p == view.Backup:
		m.Role = api.RoleBackup
	default:
		m.Role = api.RoleReplica
	}
	for _, voter := range view.Voters {
		m.Durable = m.Durable || voter.ID == p && voter.Durable
	}
	return m
}

func (n *Node) connected(p peer.ID) bool {
	w := n.network()
	return w != nil && w.host.Network().Connectedness(p) == libnet.Connected
}

// rights lists what a config lets p do.
func rights(c record.Config, p peer.ID) []string {
	out := []string{}
	for _, r := range []struct {
		right string
		who   []peer.ID
	}{{api.RightReplica, c.Voters}, {api.RightWriter, c.Writers}, {api.RightReader, c.Readers}} {
		if slices.Contains(r.who, p) {
			out = append(out, r.right)
		}
	}
	return out
}

// standing adds to what is said of a set how it stands.
func (n *Node) standing(rep *replica.Replica, i *api.SetInfo) {
	v := n.seats().Roles(rep.Set())
	i.Role, i.Primary, i.Backup, i.Durable = v.Role, v.Primary.String(), v.Backup.String(), v.Durable
	i.Behind, i.Stale, i.Forks, i.Alarms = v.Behind, v.Stale, v.Forks, n.alarms(rep, v)
	i.Mode, i.Epoch = rep.Verified().Config.Mode, epochText(v.Epoch)
	if i.Epoch != "" {
		i.EpochOwner = v.Epoch.Owner.String()
	}
	if since := n.life.since(rep.Set(), v.Primary); !since.IsZero() {
		i.PrimarySince = since.UTC().Format(time.RFC3339)
	}
	i.FolderGone = n.sets.Harm(rep).Folder != ""
}

// epochText is an epoch for people: the config it belongs to and its number.
func epochText(e record.Epoch) string {
	if e.ConfigVersion == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", e.ConfigVersion, e.N)
}

// findPeer is the peer that text names: a whole id, or the beginning (after … the end, as tables print it) of the id
// of a member of the set, of a connected peer or of one that is remembered. Errors: errUnknownPeer, errAmbiguousPeer.
func (n *Node) findPeer(text string, c record.Config) (peer.ID, error) {
	if p, err := peer.Decode(text); err == nil {
		if _, err := p.ExtractPublicKey(); err == nil { // else it only looks like one: the beginning of an id may
			return p, nil
		}
	}
	known := append(listed(c), n.self)
	if w := n.network(); w != nil {
		known = append(known, w.host.Network().Peers()...)
		for _, p := range w.good(n.now()) {
			known = append(known, p.ID)
		}
	} else {
		for _, p := range n.remembered().Best(n.now(), bootstrapPeers) {
			known = append(known, p.ID)
		}
	}
	return matchPeer(text, known)
}

func matchPeer(text string, known []peer.ID) (peer.ID, error) {
	fits := strings.HasPrefix
	part, end := strings.CutPrefix(text, "…")
	if end {
		fits = strings.HasSuffix
	}
	found := map[peer.ID]bool{}
	for _, p := range known {
		if part != "" && fits(p.String(), part) {
			found[p] = true
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("peer %q: %w", text, errUnknownPeer)
	case 1:
		return slices.Collect(maps.Keys(found))[0], nil
	}
	return "", fmt.Errorf("peer %q: %w", text, errAmbiguousPeer)
}

// memberText reads PEER or PEER/INSTANCE.
func (n *Node) memberText(text string, c record.Config) (p peer.ID, instance []byte, err error) {
	text, store, named := strings.Cut(strings.TrimSpace(text), "/")
	if named {
		if instance, err = hex.DecodeString(store); err != nil || len(instance) != record.InstanceSize {
			return "", nil, usage("bad_instance", "`replicate TICKET` on that machine prints the whole line", "%q is not an instance: it has %d hexadecimal digits", store, 2*record.InstanceSize)
		}
	}
	p, err = n.findPeer(text, c)
	return p, instance, err
}

// owned finds a set that this home may amend. Errors: replica.ErrNotOwner, those of Resolve.
func (n *Node) owned(set string) (*replica.Replica, error) {
	rep, err := n.sets.Resolve(set)
	if err != nil {
		return nil, err
	}
	if !n.owns(rep.Verified().Genesis) { // asked here, where no key is made by asking
		return nil, fmt.Errorf("set %s: %w", rep.State().Name, replica.ErrNotOwner)
	}
	return rep, nil
}

func checkRight(right string) error {
	all := []string{api.RightReader, api.RightReplica, api.RightWriter}
	if !slices.Contains(all, right) {
		return usage("bad_right", "`grant SET PEER replica` makes it one that keeps all of the set and votes", "%q is not a right: there are %s", right, strings.Join(all, ", "))
	}
	return nil
}

// Grant implements api.Governor.
func (n *Node) Grant(ctx context.Context, q api.GrantRequest) (api.GrantResult, error) {
	if err := checkRight(q.Right); err != nil {
		return api.GrantResult{}, err
	}
	rep, err := n.owned(q.Set)
	if err != nil {
		return api.GrantResult{}, explain(err)
	}
	p, instance, err := n.memberText(q.Peer, rep.Verified().Config)
	if err != nil {
		return api.GrantResult{}, explain(err)
	}
	stores := n.sets.Stores(rep, p)
	return n.amend(ctx, rep, p, func(c *record.Config) error { return grant(c, p, q.Right, instance, stores) })
}

// amend changes what a member may do; a change that changes nothing is none.
func (n *Node) amend(ctx context.Context, rep *replica.Replica, p peer.ID, edit func(*record.Config) error) (api.GrantResult, error) {
	c, err := n.sets.Amend(ctx, rep, edit)
	same := errors.Is(err, replica.ErrUnchanged)
	if same {
		c, err = rep.Verified().Config, nil
	}
	if err != nil {
		return api.GrantResult{}, explain(err)
	}
	return api.GrantResult{Set: rep.Set().String(), Name: c.Name, PeerID: p.String(), Rights: rights(c, p),
		Instance: hex.EncodeToString(c.Instances[p]), Changed: !same, Version: c.Version}, nil
}

// grant gives p a right; stores are those it has published from. Errors: errNoInstance, replica.ErrUnchanged.
func grant(c *record.Config, p peer.ID, right string, instance []byte, stores map[string]uint64) error {
	switch right {
	case api.RightReader:
		return join(&c.Readers, p)
	case api.RightWriter:
		err := join(&c.Writers, p)
		for store := range stores {
			if _, cut := c.Cuts[store]; cut {
				delete(c.Cuts, store) // it may publish again
				err = nil
			}
		}
		return err
	}
	voted := slices.Contains(c.Voters, p)
	switch {
	case c.Mode != record.ModeStrict: // any store of it may vote
		return join(&c.Voters, p)
	case instance == nil && !voted:
		return fmt.Errorf("grant %s: %w", p, errNoInstance)
	case voted && (instance == nil || bytes.Equal(c.Instances[p], instance)):
		return replica.ErrUnchanged
	}
	if !voted {
		c.Voters = append(c.Voters, p)
	}
	if c.Instances == nil {
		c.Instances = map[peer.ID][]byte{}
	}
	c.Instances[p] = instance
	return nil
}

func join(list *[]peer.ID, p peer.ID) error {
	if slices.Contains(*list, p) {
		return replica.ErrUnchanged
	}
	*list = append(*list, p)
	return nil
}

// Revoke implements api.Governor.
func (n *Node) Revoke(ctx context.Context, q api.RevokeRequest) (api.RevokeResult, error) {
	if q.Right != "" {
		if err := checkRight(q.Right); err != nil {
			return api.RevokeResult{}, err
		}
	}
	rep, err := n.owned(q.Set)
	if err != nil {
		return api.RevokeResult{}, explain(err)
	}
	before := rep.Verified().Config
	p, _, err := n.memberText(q.Peer, before)
	if err != nil {
		return api.RevokeResult{}, explain(err)
	}
	if p == n.self && !q.Own && len(rights(before, p)) > 0 {
		return api.RevokeResult{}, explain(fmt.Errorf("revoke %s in %s: %w", p, before.Name, errOwnRights))
	}
	stores := n.sets.Stores(rep, p)
	res, err := n.amend(ctx, rep, p, func(c *record.Config) error { return revoke(c, p, q.Right, stores) })
	out := api.RevokeResult{GrantResult: res}
	if err == nil && res.Changed && slices.Contains(before.Writers, p) && !slices.Contains(res.Rights, api.RightWriter) {
		out.Cuts = stores
	}
	return out, err
}

// revoke takes a right from p, or with "" all. Of a writer's stores everything counts that was published so far, and
// nothing later. Errors: errLastVoter, replica.ErrUnchanged.
func revoke(c *record.Config, p peer.ID, right string, stores map[string]uint64) error {
	leave := func(of string, list *[]peer.ID) bool {
		before := len(*list)
		if right == "" || right == of {
			*list = slices.DeleteFunc(*list, func(q peer.ID) bool { return q == p })
		}
		return len(*list) < before
	}
	changed := leave(api.RightReader, &c.Readers)
	if leave(api.RightWriter, &c.Writers) {
		changed = true
		if c.Cuts == nil {
			c.Cuts = map[string]uint64{}
		}
		maps.Copy(c.Cuts, stores)
	}
	if leave(api.RightReplica, &c.Voters) {
		changed = true
		delete(c.Instances, p)
	}
	switch {
	case !changed:
		return replica.ErrUnchanged
	case len(c.Voters) == 0:
		return fmt.Errorf("revoke %s: %w", p, errLastVoter)
	}
	return nil
}

// Rename implements api.Host.
func (n *Node) Rename(ctx context.Context, q api.RenameRequest) (api.RenameResult, error) {
	if err := record.CheckName(q.Name); err != nil {
		return api.RenameResult{}, usage("bad_name", "a name is that of a folder", "%q cannot be the name of a set", q.Name)
	}
	rep, err := n.owned(q.Set)
	if err != nil {
		return api.RenameResult{}, explain(err)
	}
	c, err := n.sets.Amend(ctx, rep, func(c *record.Config) error {
		if c.Name == q.Name {
			return replica.ErrUnchanged
		}
		c.Name = q.Name
		return nil
	})
	same := errors.Is(err, replica.ErrUnchanged)
	if same {
		c, err = rep.Verified().Config, nil
	}
	return api.RenameResult{Set: rep.Set().String(), Name: c.Name, Changed: !same && err == nil, Version: c.Version}, explain(err)
}

// peerTexts are ids as JSON has them: [], never null.
func peerTexts(ids []peer.ID) []string {
	out := make([]string, 0, len(ids))
	for _, p := range ids {
		out = append(out, p.String())
	}
	return out
}
