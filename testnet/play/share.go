package play

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dustin/go-humanize/english"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/edition"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// toolchain names the sources of Go, which every machine has that builds this program.
const toolchain = "toolchain"

// share makes a set of a new folder of a node.
func (s *Stage) share(ctx context.Context, do script.Share, random *rand.Rand) error {
	n, err := s.one(ctx, do.At)
	if err != nil {
		return err
	}
	c, err := running(n)
	if err != nil {
		return err
	}
	folder := dir(n, do.Set)
	if err := content(ctx, do, folder, random); err != nil {
		return err
	}
	x := &set{name: do.Set, author: n.Name, strict: do.Strict, edited: map[string]bool{}, folder: map[string]*sync.Mutex{}}
	snap, err := s.oracle.Publish(x.name, folder)
	if err != nil {
		return err
	}
	r, err := c.Share(ctx, api.ShareRequest{Path: folder, Name: do.Set, Strict: do.Strict, Private: do.Private}, nil)
	if err != nil {
		return fmt.Errorf("share at %s: %w", n.Name, err)
	}
	x.id, x.size = r.Set, r.Bytes
	s.mu.Lock()
	s.sets[x.name] = x
	s.mu.Unlock()
	s.rec.set(trace.Set{Name: x.name, ID: r.Set, Files: r.Files, Bytes: r.Bytes})
	s.acknowledged(x, published{PublishResult: api.PublishResult{ShareResult: r, Changed: true}, node: n.Name, at: s.rec.since()}, snap)
	s.say("%s, %s: revision %d in %.1f s, set %s", english.Plural(r.Files, "file", ""), bytes(r.Bytes), r.Revision, r.Seconds, r.Set)
	return nil
}

// content makes the folder that a set is made of.
func content(ctx context.Context, do script.Share, folder string, random *rand.Rand) error {
	if _, err := os.Lstat(folder); err == nil {
		return fmt.Errorf("share: %s exists already: an earlier network in this folder had a set of that name; begin in another folder, or remove it", folder)
	}
	from := do.From
	if from == toolchain {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return fmt.Errorf("share: the sources of Go are wanted, and `go env GOROOT` failed: %w; name a folder instead", err)
		}
		from = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	if from == "" {
		return fill(folder, do.Size, do.Files, random)
	}
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	return edition.CopyTree(from, folder)
}

// upgrade changes a copy of the sources of Go as their authors do, or any folder a little where this machine has nothing
// newer.
func upgrade(ctx context.Context, folder string) (string, error) {
	made, err := edition.UpdateVendored(ctx, folder)
	if err == nil && made.Bytes == 0 {
		made, err = edition.Edit(folder)
	}
	return made.What, err
}
