package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newPeersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "peers",
		Short: "List the connected peers of the running node",
		Args:  a.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{needsNode: true}, func(ctx context.Context, s session) error {
				st, err := s.Status(ctx)
				if err != nil {
					return err
				}
				list := struct {
					Peers []api.PeerInfo `json:"peers"`
				}{append([]api.PeerInfo{}, st.Peers...)} // [], never null
				return a.result(list, func(w io.Writer) { printPeers(w, st.Peers) })
			})
		},
	}
}

func printPeers(w io.Writer, peers []api.PeerInfo) {
	if len(peers) == 0 {
		return
	}
	rows := [][]string{{"PEER", "ADDRESS", "TRANSPORT", "RTT", "ROLE", "AGENT"}}
	for _, p := range peers {
		rows = append(rows, []string{p.PeerID, p.Addr, p.Transport, fmt.Sprintf("%.1f ms", p.RTTms), p.Role, printable(p.Agent)})
	}
	table(w, rows)
}
