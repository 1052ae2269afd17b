package node

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	ownerFile = "owner.key"
	ownerPEM  = "SHOAL OWNER KEY" // type of the PEM block that carries an owner key
)

var (
	errNoOwnerKey = errors.New("no owner key here")
	errOtherOwner = errors.New("another owner key is here")
	errNoKey      = errors.New("no owner key in it")
)

// ExportOwner implements api.KeyHolder.
func (n *Node) ExportOwner(context.Context) (api.OwnerKey, error) {
	k := n.loadedOwner()
	if k == nil {
		return api.OwnerKey{}, explain(fmt.Errorf("export owner key: %w", errNoOwnerKey))
	}
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		return api.OwnerKey{}, explain(err)
	}
	text, err := ownerText(k)
	return api.OwnerKey{Owner: id.String(), Key: text}, explain(err)
}

// ownerText is a key as text: PEM around the libp2p private key message.
func ownerText(k crypto.PrivKey) (string, error) {
	b, err := crypto.MarshalPrivateKey(k)
	if err != nil {
		return "", fmt.Errorf("export owner key: %w", err)
	}
	return "Who has this file decides who takes part in the sets of this owner. Nothing protects it but its mode.\n" +
		string(pem.EncodeToMemory(&pem.Block{Type: ownerPEM, Bytes: b})), nil
}

// parseOwner is the inverse of ownerText. Errors: errNoKey, errBadKey.
func parseOwner(text string) (crypto.PrivKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != ownerPEM {
		return nil, errNoKey
	}
	k, err := crypto.UnmarshalPrivateKey(block.Bytes)
	if err != nil || k.Type() != crypto.Ed25519 {
		return nil, errNoKey
	}
	probe := []byte("shoal key check")
	sig, err := k.Sign(probe)
	if err != nil {
		return nil, errNoKey
	}
	if ok, err := k.GetPublic().Verify(probe, sig); err != nil || !ok { // its two halves do not belong together
		return nil, errNoKey
	}
	return k, nil
}

// ImportOwner implements api.KeyHolder.
func (n *Node) ImportOwner(_ context.Context, q api.ImportOwnerRequest) (api.ImportOwnerResult, error) {
	k, err := parseOwner(q.Key)
	if err != nil {
		return api.ImportOwnerResult{}, explain(fmt.Errorf("import owner key: %w", err))
	}
	out, err := n.importOwner(k, q.Replace)
	return out, explain(err)
}

func (n *Node) importOwner(k crypto.PrivKey, replace bool) (out api.ImportOwnerResult, err error) {
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		return out, fmt.Errorf("import owner key: %w", err)
	}
	out.Owner = id.String()
	n.mu.Lock() // as when the first key is made: nobody makes one meanwhile
	defer n.mu.Unlock()
	if n.owner != nil {
		old, err := peer.IDFromPrivateKey(n.owner)
		if err != nil {
			return out, fmt.Errorf("import owner key: %w", err)
		}
		if old == id {
			return out, nil
		}
		if !replace {
			return out, fmt.Errorf("import owner key %s: %w: %s", id, errOtherOwner, old)
		}
		out.Kept = filepath.Join(n.home.dir, "owner-"+old.String()+".txt")
		text, err := ownerText(n.owner)
		if err == nil {
			err = maybe.WriteFile(out.Kept, []byte(text), 0o600)
		}
		if err != nil {
			return api.ImportOwnerResult{}, fmt.Errorf("keep the owner key that was here: %w", err)
		}
	}
	b, err := crypto.MarshalPrivateKey(k)
	if err == nil {
		err = maybe.WriteFile(filepath.Join(n.home.dir, ownerFile), b, 0o600)
	}
	if err != nil {
		return api.ImportOwnerResult{}, fmt.Errorf("import owner key: %w", err)
	}
	n.owner, out.Changed = k, true
	return out, nil
}
