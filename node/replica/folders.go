package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/list"
)

// looks is how files of a set look without being read: the same for files that nobody has touched.
func looks(st State, files []string) string {
	var all strings.Builder
	for _, f := range files {
		info, err := os.Lstat(filepath.Join(st.Dir, filepath.FromSlash(f)))
		if err != nil {
			fmt.Fprintf(&all, "%q %v\n", f, err)
			continue
		}
		fmt.Fprintf(&all, "%q %d %d %v\n", f, info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	return all.String()
}

// maxProbed is how many files are looked for in a folder that is another one than it was.
const maxProbed = 64

// missing tells what has become of the folder of a set; "" = it is there.
func (r *Registry) missing(ctx context.Context, rep *Replica) string {
	st := rep.State()
	if gone := lookFor(st); gone != "" {
		return gone
	}
	now, err := markerOf(st.Dir)
	if err != nil || !st.Marker.differs(now) {
		return ""
	}
	// Files that were copied into a new folder are as good as they were.
	probed, absent := 0, 0
	stop := errors.New("enough")
	err = r.cfg.Store.Files(ctx, treeOf(st.Dir, st.Only), func(f blockstore.File) error {
		if f.Set != rep.id {
			return nil
		}
		if probed++; probed > maxProbed {
			return stop
		}
		if _, err := os.Lstat(filepath.Join(st.Dir, filepath.FromSlash(f.Path))); errors.Is(err, fs.ErrNotExist) {
			absent++
		}
		return nil
	})
	if err != nil && !errors.Is(err, stop) || absent == 0 {
		return ""
	}
	return fmt.Sprintf("another folder lies at %s: it was replaced, or its disk is not mounted", st.Dir)
}

// lookFor looks for the folder of a set, or its one file; "" = it is there.
func lookFor(st State) string {
	path := filepath.Join(st.Dir, st.Only)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path + " is gone"
	case err != nil:
		return fmt.Sprintf("%s cannot be looked into: %v", path, err)
	case st.Only == "" && !info.IsDir():
		return path + " is no folder any more"
	}
	return ""
}

// Intact is Picture without what is known to be lost.
func (r *Registry) Intact(ctx context.Context, rep *Replica) list.Info {
	info, harm := rep.info(), r.Harm(rep)
	if !info.Complete || !harm.Loses() {
		return info
	}
	info.Complete, info.Have = false, list.NewBitmap(info.Leaves)
	h, _ := rep.Head()
	lay, err := r.layoutOf(ctx, rep.id, h.Root)
	if harm.Folder != "" || err != nil || len(lay.Leaves) != info.Leaves {
		return info // none of it can be given
	}
	lost := map[cid.Cid]bool{}
	rep.mu.Lock()
	for _, c := range rep.health.lost {
		lost[c] = true
	}
	rep.mu.Unlock()
	for n, l := range lay.Leaves {
		if !lost[l.Cid] {
			info.Have.Set(n)
		}
	}
	return info
}

// Casualty is a set of which something is not here that others are promised.
type Casualty struct {
	State State
	Harm  Harm
}

// Examine is Harm after it was looked at what is worried about, and at the folder.
func (r *Registry) Examine(ctx context.Context, rep *Replica) Harm {
	r.LookAt(ctx, rep)
	r.attend(ctx, rep)
	return r.Harm(rep)
}

// Casualties lists the sets with harm, after a look whether their folders are there, and at blocks that could not be given
// to somebody. No folder is read anew: that takes hours if its files are large, and a publish would have to wait for it.
func (r *Registry) Casualties(ctx context.Context) (all []Casualty) {
	for _, rep := range r.all() {
		r.glance(ctx, rep)
		r.attend(ctx, rep)
		if h := r.Harm(rep); h.Any() {
			all = append(all, Casualty{rep.State(), h})
		}
	}
	return all
}

// CasualtiesAt is Casualties for state files that no registry is open on: as much as is to be seen from outside. sets
// tells how many sets there are.
func CasualtiesAt(dir string) (all []Casualty, sets int, err error) {
	states, bad, err := states{dir}.load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	for _, st := range states {
		if !st.Complete {
			continue
		}
		h := Harm{Refused: st.Refused, Blocks: len(st.Lost)}
		if st.Shared { // what else others count on only the records say
			h.Folder = lookFor(st)
		}
		if h.Any() {
			all = append(all, Casualty{st, h})
		}
	}
	return all, len(states), errors.Join(append(bad, err)...)
}
