package node

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
)

// Ls implements api.Looker.
func (n *Node) Ls(ctx context.Context, q api.LsRequest) (api.LsResult, error) {
	if q.Set == "" {
		out := api.LsResult{Sets: []api.SetInfo{}}
		for _, rep := range n.sets.Replicas() {
			out.Sets = append(out.Sets, n.info(rep))
		}
		return out, nil
	}
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.LsResult{}, explain(err)
	}
	lay, err := n.sets.Layout(ctx, rep)
	if err != nil {
		return api.LsResult{}, explain(err)
	}
	out := api.LsResult{Entries: n.tallied(rep, lay, entries(lay, strings.Trim(path.Clean("/"+q.Path), "/")))}
	if len(out.Entries) == 0 && q.Path != "" {
		return out, &api.Error{Code: "no_such_entry", ExitCode: api.ExitNotFound, Title: fmt.Sprintf("%q is not in this set", q.Path),
			Hint: "`ls SET` lists it from the top"}
	}
	return out, nil
}

// entries are the direct children of a folder, or the one file that was named.
func entries(lay *dag.Layout, dir string) []api.Entry {
	var out []api.Entry
	below := totals(lay, dir)
	for _, e := range lay.Entries {
		parent := path.Dir(e.Path)
		if parent == "." {
			parent = ""
		}
		if e.Path == "" || (parent != dir && (e.Path != dir || e.Kind == dag.KindDir)) {
			continue
		}
		a := entryOf(e)
		if t, ok := below[e.Path]; ok {
			a.Size, a.Files = t.bytes, t.files
		}
		out = append(out, a)
	}
	return out
}

// total is what lies below a folder.
type total struct {
	bytes int64
	files int
}

// totals are those of the folders in dir, by path.
func totals(lay *dag.Layout, dir string) map[string]total {
	out := map[string]total{}
	if dir != "" {
		dir += "/"
	}
	for _, e := range lay.Entries {
		rest, inside := strings.CutPrefix(e.Path, dir)
		name, _, deeper := strings.Cut(rest, "/")
		if !inside || !deeper || e.Kind != dag.KindFile {
			continue
		}
		t := out[dir+name]
		out[dir+name] = total{t.bytes + e.Size, t.files + 1}
	}
	return out
}

func entryOf(e dag.Entry) api.Entry {
	a := api.Entry{Path: e.Path, Kind: kindName(e.Kind), Size: e.Size, Cid: e.Cid.String(), Target: e.Target}
	if e.Kind != dag.KindSymlink {
		a.Mode = fmt.Sprintf("%04o", e.Attr.Mode)
	}
	if !e.Attr.Mtime.IsZero() {
		a.Mtime = e.Attr.Mtime.UTC().Format(time.RFC3339Nano)
	}
	return a
}

func kindName(k dag.Kind) string {
	switch k {
	case dag.KindDir:
		return "dir"
	case dag.KindSymlink:
		return "symlink"
	default:
		return "file"
	}
}
