package replica

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// impostor offers a bundle and nothing else.
type impostor struct {
	list.Catalog
	info list.Info
}

func (i impostor) Watch(ctx context.Context, _ peer.ID, _ cid.Cid, _ []byte) (<-chan list.Update, error) {
	ch := make(chan list.Update, 1)
	ch <- list.Update{Info: &i.info, Complete: true}
	return ch, nil
}

// offering makes a member that claims to hold everything of a bundle.
func offering(t *testing.T, b record.Bundle) *member {
	return newMember(t, role{catalog: func(c list.Catalog) list.Catalog {
		return impostor{c, list.Info{Bundle: b, Complete: true}}
	}})
}

// forge is a set of which every key is in our hands.
type forge struct {
	t           *testing.T
	owner, node crypto.PrivKey
	genesis     record.Genesis
	set         cid.Cid
	bundle      record.Bundle
	config      record.Config
	hash        cid.Cid
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func idOf(k crypto.PrivKey) peer.ID { return must(peer.IDFromPrivateKey(k)) }

func newForge(t *testing.T) *forge {
	f := &forge{t: t, owner: newKey(t), node: newKey(t)}
	f.genesis = record.Genesis{Owners: []crypto.PubKey{f.owner.GetPublic()}, Nonce: bytes.Repeat([]byte{7}, 16), Profile: dag.DefaultProfile()}
	f.bundle.Genesis = must(record.SealGenesis(f.genesis, f.owner))
	f.genesis, f.set, _ = record.OpenGenesis(f.bundle.Genesis)
	self := []peer.ID{idOf(f.node)}
	f.config = record.Config{Set: f.set, Version: 1, Name: "data", Voters: self, Writers: self, Public: true, Mode: "ap", Interval: time.Second}
	sealed := must(record.SealConfig(f.config, f.owner))
	f.config, f.hash, _ = record.OpenConfig(sealed, f.genesis)
	f.bundle.Configs = [][]byte{sealed}
	return f
}

// head makes revision 1 of the set with these proposals.
func (f *forge) head(signer crypto.PrivKey, root cid.Cid, proposals ...[]byte) []byte {
	id, instance := idOf(signer), []byte("instance")
	return must(record.SealHead(record.Head{Set: f.set, ConfigVersion: 1, ConfigHash: f.hash, Root: root, Revision: 1,
		Epoch:  record.Epoch{ConfigVersion: 1, N: 1, Owner: id, Instance: instance},
		Vector: record.Vector{"696e7374616e6365": 1}, Proposals: proposals}, signer))
}

func (f *forge) proposal(root cid.Cid, seq, files, bytes uint64) []byte {
	return must(record.SealProposal(record.Proposal{Set: f.set, Root: root, Writer: idOf(f.node), Instance: []byte("instance"),
		Seq: seq, Files: files, Entries: files + 1, Bytes: bytes}, f.node))
}
