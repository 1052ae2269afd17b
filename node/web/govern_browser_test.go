package web_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
)

// TestGovern: an owner with nothing but a browser renames a private set, invites and takes the invite back, gives and takes
// a right, and puts the key of the home aside.
func TestGovern(t *testing.T) {
	ctx := browser(t)
	a, b := live(t, 0), live(t, 0)
	guest, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := visit(t, ctx, a, "govern")
	p.open("share")
	p.write("share-path", newFolder(t))
	p.click("share-private")
	p.click("share")
	p.has("shared", "is shared: revision 1")
	set := read[string](p, `document.querySelector('[data-testid=shared] a').getAttribute('href').slice(6)`)
	p.open("set/" + set)
	rename(p)
	invite(t, p, a, b, set)
	p.wait(`document.querySelector('[data-testid=members] details')`)
	read[bool](p, `document.querySelector('[data-testid=members] details').open = true`)
	p.write("grant-peer", guest.PeerID)
	p.click("grant")
	p.wait(`document.querySelectorAll('[data-testid=members] table')[0].tBodies[0].rows.length === 2`)
	p.shoot("members")
	p.click("revoke")
	p.click("revoke-yes")
	p.wait(`document.querySelectorAll('[data-testid=members] table')[0].tBodies[0].rows.length === 1`)
	m, err := a.Members(t.Context(), api.MembersRequest{Set: set})
	if err != nil || len(m.Members) != 1 {
		t.Errorf("members %+v, %v", m.Members, err)
	}
	key(t, p, a)
	p.quiet()
}

func rename(p *person) {
	p.t.Helper()
	p.click("rename")
	p.wait(`document.querySelector('[data-testid=rename-yes]').disabled`) // it has that name
	p.write("rename-name", "holidays")
	p.click("rename-yes")
	p.wait(`document.querySelector('main h1').textContent.startsWith('holidays')`)
}

// invite makes a ticket for one guest, who can fetch with it, and takes another one back.
func invite(t *testing.T, p *person, a, b *living, set string) {
	t.Helper()
	p.click("invite")
	p.has("invited", "shoal1")
	p.wait(`document.querySelector('[data-testid=invited] svg.qr path')`)
	p.shoot("invited")
	ticket := strings.TrimSpace(read[string](p, `document.querySelector('[data-testid=invited] [data-testid=ticket]').textContent`))
	r, err := b.Get(t.Context(), api.GetRequest{Ticket: ticket, Dest: filepath.Join(t.TempDir(), "guest")}, func(api.Progress) {})
	if err != nil || r.Set != set {
		t.Errorf("the invited gets %+v, %v", r, err)
	}
	p.click("uninvite")
	p.click("uninvite-yes")
	p.has("members", "revoked")
	m, err := a.Members(t.Context(), api.MembersRequest{Set: set})
	if err != nil || len(m.Invites) != 1 || m.Invites[0].State != "revoked" {
		t.Errorf("invites %+v, %v", m.Invites, err)
	}
}

// key shows the owner key after a question, and takes it in again, which changes nothing.
func key(t *testing.T, p *person, a *living) {
	t.Helper()
	k, err := a.ExportOwner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.open("settings")
	p.has("owner-key", k.Owner)
	if strings.Contains(p.text("owner-key"), k.Key) {
		t.Error("the key is shown before it was asked for")
	}
	p.click("owner-export")
	p.click("owner-export-yes")
	p.has("owner-secret", k.Key)
	p.shoot("key")
	p.click("owner-import")
	p.write("owner-text", k.Key)
	p.click("owner-import-yes")
	p.has("owner-key", "This key was here already")
}
