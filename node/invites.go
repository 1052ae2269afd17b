package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2/maybe"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// inviteLife is how long an invite lets in unless another time is asked for: a week reaches somebody who is away
	// for some days, and a ticket that is found later opens nothing.
	inviteLife = 7 * 24 * time.Hour
	// inviteMemory is how long an invite that has expired stays listed: who asks why it is refused finds it.
	inviteMemory = 30 * 24 * time.Hour
)

var (
	errPublicSet     = errors.New("the set is public")
	errUnknownInvite = errors.New("no invite is known by that")
)

// madeInvite is what the home remembers of an invite made in it: all but the right itself.
type madeInvite struct {
	Set     string    `json:"set"`
	Nonce   string    `json:"nonce"` // hex
	Reader  string    `json:"reader,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // zero = never
}

func (n *Node) invitesFile() string { return filepath.Join(n.home.dir, "invites.json") }

func (n *Node) loadInvites() ([]madeInvite, error) {
	b, err := os.ReadFile(n.invitesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []madeInvite
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("load invites: %w", err)
	}
	return all, nil
}

// rememberInvite adds one, and forgets those that expired long ago.
func (n *Node) rememberInvite(i madeInvite) error {
	n.jobs.turn.Lock() // one command at a time rewrites a file of the home
	defer n.jobs.turn.Unlock()
	all, err := n.loadInvites()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(o madeInvite) bool {
		return !o.Expires.IsZero() && n.now().Sub(o.Expires) > inviteMemory
	})
	b, err := json.MarshalIndent(append(all, i), "", "  ")
	if err == nil {
		err = maybe.WriteFile(n.invitesFile(), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember invite: %w", err)
	}
	return nil
}

// invitesOf lists the invites to a set that were made in this home.
func (n *Node) invitesOf(rep *replica.Replica) ([]api.Invite, error) {
	all, err := n.loadInvites()
	var out []api.Invite
	for _, i := range all {
		if i.Set == rep.Set().String() {
			out = append(out, n.inviteInfo(i, rep.Verified().Config))
		}
	}
	return out, err
}

func (n *Node) inviteInfo(i madeInvite, c record.Config) api.Invite {
	out := api.Invite{Nonce: i.Nonce, Reader: i.Reader, State: "open"}
	if !i.Expires.IsZero() {
		out.Expires = i.Expires.UTC().Format(time.RFC3339)
		if !n.now().Before(i.Expires) {
			out.State = "expired"
		}
	}
	if slices.ContainsFunc(c.Revoked, func(b []byte) bool { return hex.EncodeToString(b) == i.Nonce }) {
		out.State = "revoked"
	}
	return out
}

// Invite implements api.Host.
func (n *Node) Invite(ctx context.Context, q api.InviteRequest) (api.InviteResult, error) {
	life := inviteLife
	if q.Expires != "" {
		var err error
		if life, err = time.ParseDuration(q.Expires); err != nil || life < 0 {
			return api.InviteResult{}, usage("bad_expiry", "write it like 36h or 7d; 0 never expires", "%q is not a time from now on", q.Expires)
		}
	}
	rep, err := n.owned(q.Set)
	if err != nil {
		return api.InviteResult{}, explain(err)
	}
	if q.Revoke != "" {
		out, err := n.disinvite(ctx, rep, q.Revoke)
		return out, explain(err)
	}
	out, err := n.invite(rep, q.Reader, life)
	return out, explain(err)
}

// invite makes one that lives that long; 0 = for ever.
func (n *Node) invite(rep *replica.Replica, reader string, life time.Duration) (api.InviteResult, error) {
	c := rep.Verified().Config
	if c.Public {
		return api.InviteResult{}, fmt.Errorf("invite to %s: %w", c.Name, errPublicSet)
	}
	i := record.Invite{Set: rep.Set(), Nonce: make([]byte, record.NonceSize)}
	if _, err := rand.Read(i.Nonce); err != nil {
		return api.InviteResult{}, fmt.Errorf("invite: %w", err)
	}
	if life > 0 {
		i.Expires = n.now().Add(life).Round(0)
	}
	made := madeInvite{Set: rep.Set().String(), Nonce: hex.EncodeToString(i.Nonce), Expires: i.Expires}
	if reader != "" {
		p, _, err := n.memberText(reader, c)
		if err != nil {
			return api.InviteResult{}, err
		}
		i.Reader, made.Reader = p, p.String()
	}
	sealed, err := record.SealInvite(i, n.loadedOwner())
	if err != nil {
		return api.InviteResult{}, err
	}
	if err := n.rememberInvite(made); err != nil { // before it is out: what is not remembered is not revoked
		return api.InviteResult{}, err
	}
	t := n.sets.Ticket(rep)
	t.Cap = sealed
	return api.InviteResult{Set: made.Set, Name: c.Name, Ticket: t.String(), Invite: n.inviteInfo(made, c), Changed: true}, nil
}

// disinvite revokes the invite that text names.
func (n *Node) disinvite(ctx context.Context, rep *replica.Replica, text string) (api.InviteResult, error) {
	made, err := n.findInvite(rep, text)
	if err != nil {
		return api.InviteResult{}, err
	}
	nonce, err := hex.DecodeString(made.Nonce)
	if err != nil {
		return api.InviteResult{}, fmt.Errorf("invite %s: %w", made.Nonce, err)
	}
	c, err := n.sets.Amend(ctx, rep, func(c *record.Config) error {
		if slices.ContainsFunc(c.Revoked, func(b []byte) bool { return bytes.Equal(b, nonce) }) {
			return replica.ErrUnchanged
		}
		c.Revoked = append(c.Revoked, nonce)
		return nil
	})
	same := errors.Is(err, replica.ErrUnchanged)
	if same {
		c, err = rep.Verified().Config, nil
	}
	if err != nil {
		return api.InviteResult{}, err
	}
	return api.InviteResult{Set: made.Set, Name: c.Name, Invite: n.inviteInfo(made, c), Changed: !same, Version: c.Version}, nil
}

// findInvite finds one made here by the beginning of its nonce; a whole nonce is taken as it is. Errors:
// errUnknownInvite.
func (n *Node) findInvite(rep *replica.Replica, text string) (madeInvite, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	all, err := n.loadInvites()
	if err != nil {
		return madeInvite{}, err
	}
	var found []madeInvite
	for _, i := range all {
		if i.Set == rep.Set().String() && text != "" && strings.HasPrefix(i.Nonce, text) {
			found = append(found, i)
		}
	}
	switch b, err := hex.DecodeString(text); {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return madeInvite{}, usage("ambiguous_invite", "give more of the nonce: `members SET` lists them", "several invites begin with %q", text)
	case err == nil && len(b) == record.NonceSize:
		return madeInvite{Set: rep.Set().String(), Nonce: text}, nil
	}
	return madeInvite{}, fmt.Errorf("invite %q: %w", text, errUnknownInvite)
}

// memberName is what the owner grants a node as.
func memberName(p peer.ID, instance []byte) string {
	return p.String() + "/" + hex.EncodeToString(instance)
}
