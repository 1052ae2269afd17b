package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  a.arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				API     int    `json:"api"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{a.version, api.Major, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.result(v, func(w io.Writer) {
				fmt.Fprintf(w, "shoal %s (api %d, %s, %s/%s)\n", v.Version, v.API, v.Go, v.OS, v.Arch)
			})
		},
	}
}

// buildVersion is what the Go tool recorded: the module's version, or the commit it was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	version := "devel"
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			version += "+" + s.Value[:12] // as in the pseudo-versions of Go modules
		case s.Key == "vcs.modified" && s.Value == "true":
			version += ".dirty"
		}
	}
	return version
}
