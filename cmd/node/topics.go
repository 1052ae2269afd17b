package main

import (
	_ "embed"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed help/exit-codes.txt
var helpExitCodes string

//go:embed help/environment.txt
var helpEnvironment string

//go:embed help/json.txt
var helpJSON string

//go:embed help/tickets.txt
var helpTickets string

//go:embed help/replicas.txt
var helpReplicas string

// topics are pages of help that are no commands; NAME in them stands for the program as it was called.
func topics(name string) []*cobra.Command {
	var out []*cobra.Command
	for _, t := range []struct{ use, short, text string }{ // help config is the command's
		{"exit-codes", "What the exit codes mean", helpExitCodes},
		{"environment", "Variables", helpEnvironment},
		{"json", "What --json prints", helpJSON},
		{"replicas", "Who may do what with a set, primary and backup", helpReplicas},
		{"tickets", "What a ticket is and how to hand one over", helpTickets},
	} {
		out = append(out, &cobra.Command{Use: t.use, Short: t.short, Long: strings.ReplaceAll(t.text, "NAME", name)})
	}
	return out
}
