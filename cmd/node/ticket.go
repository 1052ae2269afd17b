package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/shoal-p2p/shoal/node/api"
)

// maxTicketFile bounds what is read in search of a ticket: a ticket is a few hundred bytes.
const maxTicketFile = 64 << 10

// ticket is the ticket that arg stands for: "-" reads it from stdin and "@file" from a file, so that a
// secret need not be an argument that every user of the machine can see. Of several lines the last that
// is not empty counts, which is where share prints it.
func (a *app) ticket(arg string) (string, error) {
	switch {
	case arg == "-":
		return lastLine(a.stdin, "stdin")
	case strings.HasPrefix(arg, "@"):
		f, err := os.Open(arg[1:])
		if err != nil {
			return "", badTicket(err.Error())
		}
		defer f.Close()
		return lastLine(f, printable(arg[1:]))
	default:
		return strings.TrimSpace(arg), nil
	}
}

func lastLine(r io.Reader, where string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTicketFile+1))
	switch {
	case err != nil:
		return "", badTicket(err.Error())
	case len(b) > maxTicketFile:
		return "", badTicket(where + " is too long for a ticket")
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if last == "" {
		return "", badTicket(where + " is empty")
	}
	return last, nil
}

func badTicket(why string) error {
	return &api.Error{Code: "bad_ticket", ExitCode: api.ExitUsage, Title: "no ticket to be had", Detail: why, Hint: "`node help tickets`"}
}

// setArgument is a set as the user names it; a path becomes absolute, because the node may have another
// working folder.
func setArgument(arg string) string {
	if arg == "." || arg == ".." || filepath.IsAbs(arg) ||
		strings.HasPrefix(arg, "."+string(filepath.Separator)) || strings.HasPrefix(arg, ".."+string(filepath.Separator)) {
		return absolute(arg)
	}
	return arg
}
