package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// verdict is one row of the table that turns errors into what people and scripts see.
type verdict struct {
	is        error
	code      string
	exit      int
	title     string
	hint      string
	retryable bool
}

// verdicts is searched in order; the first sentinel that matches decides. Hints are what to type next.
func verdicts() []verdict {
	return append(memberVerdicts(), []verdict{
		{record.ErrBadTicket, "bad_ticket", api.ExitUsage, "this is not a ticket", "copy the whole line that `share` printed, or pass a set id", false},
		{replica.ErrAmbiguous, "ambiguous", api.ExitUsage, "several sets match", "give more of the set id: `ls` lists them", false},
		{replica.ErrUnknownSet, "unknown_set", api.ExitNotFound, "no such set here", "`ls` lists the sets of this node; `get TICKET` fetches one", false},
		{replica.ErrFolderGone, "folder_gone", api.ExitConflict, "the folder of the set is not there", "is it mounted? `get SET` puts all of it into the folder again", true},
		{replica.ErrNoRevision, "no_revision", api.ExitNotFound, "that revision is not to be had", "`history` lists what this node has; another holder may have kept it: try with a network", true},
		{replica.ErrPattern, "bad_pattern", api.ExitUsage, "what is wanted is not understood", "a path of the set, or a pattern with * ? [ and, across folders, **", false},
		{replica.ErrSelected, "nothing_selected", api.ExitNotFound, "nothing of the set fits", "`ls TICKET/FOLDER` lists what there is; \"**/NAME\" looks in every folder", false},
		{replica.ErrForged, "forged_records", api.ExitIntegrity, "the set's records do not verify", "ask the publisher for a fresh ticket; nothing was written", false},
		{replica.ErrDamaged, "damaged", api.ExitIntegrity, "no good copy is to be had", "run `verify` on the machine that shares it, or start another seeder; the same command goes on from here", true},
		{replica.ErrNoPeers, "no_peers", api.ExitTimeout, "no peer could be reached", "use the full ticket, or name a node that is up: --bootstrap ADDRESS", true},
		{replica.ErrNobody, "no_providers", api.ExitNotFound, "nobody has this set", "check the ticket, and that a node shares it right now: `status` there", true},
		{replica.ErrTimeout, "timeout", api.ExitTimeout, "nothing came for too long", "the same command goes on from here; --timeout waits longer", true},
		{replica.ErrOffline, "offline", api.ExitNeedsNode, "this node has no network", "stop the command that holds this home, or use `run`", true},
		{replica.ErrTooBig, "too_big", api.ExitNoSpace, "the set is larger than --max-bytes", "raise --max-bytes", false},
		{replica.ErrInUse, "in_use", api.ExitConflict, "the folder or set is in use", "choose another folder, or `rm` the set first", false},
		{replica.ErrEmptied, "other_folder", api.ExitConflict, "another folder lies where that of the set was", "is its disk mounted? `share --set SET FOLDER` if it was moved; if all files are to be gone: `publish FOLDER --allow-deletions`, with its path", false},
		{replica.ErrDeletions, "deletions", api.ExitConflict, "too many files are gone", "is it mounted? if it is meant so: --allow-deletions", false},
		{replica.ErrBusy, "busy", api.ExitConflict, "the set is being worked on by another command", "wait for it to end: `status` shows it", true},
		{replica.ErrNewerFormat, "newer_home", api.ExitStore, "this home was written by a newer version", "update this program, or use another --home", false},
		{errNewerHome, "newer_home", api.ExitStore, "this home was written by a newer version", "update this program, or use another --home", false},
		{errOpenKey, "open_key", api.ExitStore, "a key of this home can be read by other users", "chmod 600 the file, and make a new home if it may have leaked", false},
		{errBadKey, "damaged_key", api.ExitStore, "a key of this home is damaged", "put it back from a copy, or use another --home", false},
		{badgerstore.ErrLocked, "store_locked", api.ExitStore, "another process uses this home", "wait for it, or use another --home", true},
		{badgerstore.ErrDamaged, "store_damaged", api.ExitStore, "the store of this home is damaged", "move HOME/store away and run the same command: it is rebuilt from your folders and from peers", false},
		{blockstore.ErrNoSpace, "no_space", api.ExitNoSpace, "not enough disk space", "free some space (or lower store.reserve), then run the same command: it goes on from here", true},
		{worktree.ErrPrivate, "own_folder", api.ExitUsage, "that is the node's own folder", "share or fetch another one: the node's holds its keys", false},
		{worktree.ErrForeign, "conflict", api.ExitConflict, "the folder holds files of something else", "choose an empty folder, or --force to put the set's files beside them", false},
		{worktree.ErrConflict, "conflict", api.ExitConflict, "files in the way would be overwritten", "choose an empty folder, or --force to overwrite them", false},
		{worktree.ErrNotWritable, api.CodeNotWritable, api.ExitFailed, "the folder cannot be written", "choose a folder that you may write to, in one that exists", false},
		{dag.ErrNoEntry, "no_such_entry", api.ExitNotFound, "that is not in this set", "`ls` without the path lists it from the top", false},
		{dag.ErrLimit, "over_limit", api.ExitIntegrity, "the revision is larger or deeper than any real one", "do not trust this publisher", false},
		{dag.ErrMalformed, "malformed", api.ExitIntegrity, "the revision is not a valid folder", "do not trust this publisher", false},
		{blockstore.ErrCorrupt, "corrupt", api.ExitIntegrity, "bytes do not match their content address", "`verify` names the files", true},
		{blockstore.ErrNotFound, "incomplete", api.ExitNotFound, "a part of the set is not here", "run `get` again: it fetches what is missing", true},
		{fs.ErrNotExist, "no_such_path", api.ExitNotFound, "no such file or folder", "check the path", false},
		{fs.ErrPermission, "permission", api.ExitFailed, "not permitted", "check owner and mode of the path; the node runs as its own user", false},
	}...)
}

// explain turns any error into the one that people and scripts see.
func explain(err error) error {
	var known *api.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &known):
		return known
	}
	for _, v := range verdicts() {
		if errors.Is(err, v.is) {
			return &api.Error{Code: v.code, ExitCode: v.exit, Title: v.title, Detail: err.Error(), Hint: v.hint, Retryable: v.retryable}
		}
	}
	return &api.Error{Code: "failed", ExitCode: api.ExitFailed, Title: "failed", Detail: err.Error()}
}

// portTaken puts words to a port that somebody else has; the network's library makes a text of the cause. Other errors stay.
func portTaken(err error) error {
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) && !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
		return err
	}
	return &api.Error{Code: "port_taken", ExitCode: api.ExitUsage, Title: "another program has the port to listen on", Detail: err.Error(),
		Hint: "end it, or another --listen (p2p.listen), with port 0 for any free one"}
}

// at names a folder in an error about writing it: what the system says does not.
func at(dir string, err error) error {
	if dir == "" || !errors.Is(err, worktree.ErrNotWritable) {
		return err
	}
	return fmt.Errorf("%q: %w", dir, err)
}

// usage is an error of what was asked.
func usage(code, hint, format string, args ...any) error {
	return &api.Error{Code: code, ExitCode: api.ExitUsage, Title: fmt.Sprintf(format, args...), Hint: hint}
}
