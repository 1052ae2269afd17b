package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newIDCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "id",
		Short: "Print the peer id of this home and the fingerprint of its owner key",
		Args:  a.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd.Context())
			defer cancel()
			return a.withNode(ctx, attach{offline: true}, func(ctx context.Context, s session) error {
				st, err := s.Status(ctx)
				if err != nil {
					return err
				}
				id := struct {
					PeerID string `json:"peer_id"`
					Owner  string `json:"owner,omitempty"`
				}{st.PeerID, st.Owner}
				return a.result(id, func(w io.Writer) {
					if id.Owner != "" {
						a.say("owner key %s", id.Owner)
					}
					fmt.Fprintln(w, id.PeerID)
				})
			})
		},
	}
}
