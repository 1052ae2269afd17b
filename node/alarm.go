package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/node/watch"
)

// scanSlack is how long reading and publishing what was edited in a watched folder may take before somebody is told
// that what it replaced is not here any more; while it is being read nobody is.
const scanSlack = 10 * time.Second

// settles is replica.Config.Settles: only of a watched folder what changes is published by itself.
func (n *Node) settles(rep *replica.Replica) time.Duration {
	if _, watched := n.jobs.list().Watch[rep.Set().String()]; !watched {
		return 0
	}
	return n.watchOptions().Longest() + scanSlack
}

// watchOptions are how folders are watched.
func (n *Node) watchOptions() watch.Options {
	return watch.Options{Debounce: n.cfg.Share.Debounce, Rescan: n.cfg.Share.Rescan}
}

// harmed is replica.Config.Harmed.
func (n *Node) harmed(rep *replica.Replica, h replica.Harm) {
	st := rep.State()
	e := api.Event{Kind: api.EventMended, Set: st.Set, Name: st.Name, Detail: "all that others are promised of it is here again"}
	if h.Any() {
		e.Kind, e.Detail = api.EventAlarm, harmAlarm(st, h)
	}
	if head, ok := rep.Head(); ok {
		e.Revision = head.Revision
	}
	n.tell(e)
}

// lookAt looks after the folder of a set at once.
func (n *Node) lookAt(ctx context.Context, set string) {
	if rep, err := n.sets.Resolve(set); err == nil {
		n.sets.LookAt(ctx, rep)
	}
}

// alarms are what somebody has to look at in a set: of its elections, and of its bytes here.
func (n *Node) alarms(rep *replica.Replica, v roleView) []string {
	if h := n.sets.Harm(rep); h.Any() {
		return append(v.Alarms[:len(v.Alarms):len(v.Alarms)], harmAlarm(rep.State(), h))
	}
	return v.Alarms
}

// harmAlarm is harm in one sentence.
func harmAlarm(st replica.State, h replica.Harm) string {
	what, cure := harmText(st, h, "")
	return what + ": " + cure
}

// harmText tells what harm there is, and what to do about it; before the commands in it stands program.
func harmText(st replica.State, h replica.Harm, program string) (what, cure string) {
	name := callName(st)
	program = "`" + program
	switch {
	case h.Folder != "" && st.Shared:
		return h.Folder, fmt.Sprintf("put it back or mount its disk; %[1]sshare --set %[2]s FOLDER` if it was moved, %[1]srm %[2]s` if it is to be shared no more", program, name)
	case h.Folder != "":
		return h.Folder, fmt.Sprintf("put it back or mount its disk; or %[1]sverify --heal %[2]s` to fetch all of it again, %[1]srm %[2]s` to give it up", program, name)
	case h.Refused != "":
		return "its folder was not published, " + h.Refused, fmt.Sprintf("put the files back, or %spublish --allow-deletions %s` if they are to be gone", program, name)
	}
	files := make([]string, 0, maxTold)
	for _, f := range h.Files[:min(len(h.Files), maxTold)] {
		files = append(files, fmt.Sprintf("%q", f))
	}
	who := strings.Join(files, ", ")
	switch {
	case len(files) == 0:
		who = "some of its files"
	case len(h.Files) > maxTold:
		who += " and others"
	}
	if st.Shared {
		return "bytes of " + who + " are not in its folder any more, and nothing else was published",
			fmt.Sprintf("%[1]spublish %[2]s` to publish the folder as it is; or put the files back, then %[1]sverify %[2]s`", program, name)
	}
	return "bytes of " + who + " are not here any more", fmt.Sprintf("%[1]sverify --heal %[2]s` to fetch them again; it leaves what was edited here, which %[1]sget --force %[2]s` overwrites", program, name)
}

// callName is how a set is named on a command line: by its id if its name would have to be quoted.
func callName(st replica.State) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	if st.Name == "" || st.Name[0] == '-' || strings.TrimFunc(st.Name, plain) != "" {
		return st.Set
	}
	return st.Name
}
