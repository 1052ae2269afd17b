package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

// searchPage is the most that one question may ask for.
const searchPage = 1000

func newSearchCommand(a *app) *cobra.Command {
	var set string
	var limit int
	cmd := &cobra.Command{
		Use:   "search PATTERN",
		Short: "Find sets and files by name",
		Long: "Find sets and files by name in what this node knows, at the newest revision. The pattern may be\n" +
			"anywhere in a name or path; with *, ? or [ in it, it has to fit a name from end to end, or with a / the\n" +
			"whole path. Upper and lower case are the same. SENT is about how often a file was taken from here since\n" +
			"the node started.",
		Args: a.arguments(1, 1),
	}
	cmd.Flags().StringVar(&set, "set", "", "only in this set")
	cmd.Flags().IntVar(&limit, "limit", 100, "print at most so many")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 1 {
			return usagef("--limit is at least 1")
		}
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		q := api.SearchRequest{Pattern: args[0]}
		if set != "" {
			q.Set = setArgument(set)
		}
		return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
			res, err := searchAll(ctx, s, q, limit)
			if err != nil {
				return err
			}
			if res.Unsearched > 0 && !a.opts.json {
				a.say("the files of %s are not known here", count(res.Unsearched, "set"))
			}
			if res.Next != "" && !a.opts.json {
				a.say("there are more: --limit %d", 10*limit)
			}
			return a.result(res, func(w io.Writer) { printSearch(w, res) })
		})
	}
	return cmd
}

// searchAll asks for one page after the other until there are limit hits.
func searchAll(ctx context.Context, s api.Searcher, q api.SearchRequest, limit int) (api.SearchResult, error) {
	all := api.SearchResult{Items: []api.SearchHit{}}
	for {
		q.Limit = min(limit-len(all.Items), searchPage)
		page, err := s.Search(ctx, q)
		if err != nil {
			return all, err
		}
		all.Items = append(all.Items, page.Items...)
		all.Unsearched += page.Unsearched
		all.Next, q.Cursor = page.Next, page.Next
		if page.Next == "" || len(all.Items) >= limit {
			return all, nil
		}
	}
}

func printSearch(w io.Writer, res api.SearchResult) {
	if len(res.Items) == 0 {
		return
	}
	rows := [][]string{{"NAME", "REV", "SIZE", "SENT", "PATH", "SET"}}
	for _, h := range res.Items {
		path, sent := printable(h.Path), strconv.FormatUint(h.Downloads, 10)
		switch h.Kind {
		case "set":
			path, sent = "-", "-"
		case "dir":
			path, sent = path+"/", "-"
		}
		rows = append(rows, []string{printable(h.Name), strconv.FormatUint(h.Revision, 10), size(h.Size), sent, path, short(h.Set)})
	}
	table(w, rows)
}
