package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
)

// machine is what an examination asks the operating system.
type machine struct {
	now    func() time.Time
	free   func(dir string) (int64, error)   // bytes that may be written to the file system of dir
	files  func() (uint64, error)            // how many files a process may have open
	sysctl func(name string) (uint64, error) // a number below /proc/sys; errors.ErrUnsupported where there are none
	listen func(ctx context.Context, network, address string) error
	dial   func(ctx context.Context, network, address string) error
}

func thisMachine() machine {
	return machine{
		now: time.Now, free: badgerstore.FreeSpace, files: openFilesLimit, sysctl: procNumber,
		listen: func(ctx context.Context, network, address string) error {
			var c net.ListenConfig
			if strings.HasPrefix(network, "udp") {
				l, err := c.ListenPacket(ctx, network, address)
				if err != nil {
					return err
				}
				return l.Close()
			}
			l, err := c.Listen(ctx, network, address)
			if err != nil {
				return err
			}
			return l.Close()
		},
		dial: func(ctx context.Context, network, address string) error {
			var d net.Dialer
			c, err := d.DialContext(ctx, network, address)
			if err != nil {
				return err
			}
			return c.Close()
		},
	}
}

// exam is an examination of a home and the machine it is on.
type exam struct {
	cfg Config
	m   machine
	net *network // of the node that runs in the home; nil: none does
	// sets looks at the sets of the home, of which there are known, for those of which something is not here.
	sets func(context.Context) (all []replica.Casualty, known int, err error)
}

// Examine looks at a home and its machine without a node, and changes nothing there: what cannot be so for a node to work
// well.
func Examine(ctx context.Context, cfg Config) api.DoctorResult {
	return (&exam{cfg: cfg, m: thisMachine(), sets: asleep(cfg.Home)}).run(ctx)
}

// Doctor implements api.Examiner.
func (n *Node) Doctor(ctx context.Context) (api.DoctorResult, error) {
	e := &exam{cfg: n.cfg, m: thisMachine(), net: n.network(), sets: func(ctx context.Context) ([]replica.Casualty, int, error) {
		return n.sets.Casualties(ctx), len(n.sets.Replicas()), nil
	}}
	return e.run(ctx), ctx.Err()
}

func (e *exam) run(ctx context.Context) api.DoctorResult {
	out := api.DoctorResult{OK: true, Home: e.cfg.Home}
	closed := false // the home cannot be looked into
	for n, c := range examinations() {
		check := skip("the home is not what it should be")
		if !c.inside || !closed {
			check = c.look(e, ctx)
		}
		check.Name = c.name
		closed = closed || n == 0 && check.State == api.CheckFail
		out.OK = out.OK && check.State != api.CheckFail
		out.Checks = append(out.Checks, check)
	}
	return out
}

// examination is one thing to look at; inside: it lies in the home, which comes first.
type examination struct {
	name   string
	inside bool
	look   func(*exam, context.Context) api.Check
}

func examinations() []examination {
	return []examination{
		{"home", false, (*exam).home}, {"permissions", true, (*exam).permissions}, {"keys", true, (*exam).keys},
		{"version", true, (*exam).version}, {"sets", true, (*exam).casualties}, {"watches", true, (*exam).watches},
		{"disk", false, (*exam).disk}, {"clock", false, (*exam).clock}, {"ports", false, (*exam).ports},
		{"udp buffer", false, (*exam).udpBuffer}, {"open files", false, (*exam).openFiles}, {"bootstrap", false, (*exam).bootstrap},
	}
}

func fine(format string, args ...any) api.Check {
	return api.Check{State: api.CheckOK, Detail: fmt.Sprintf(format, args...)}
}

func warn(hint, format string, args ...any) api.Check {
	return api.Check{State: api.CheckWarn, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

func fail(hint, format string, args ...any) api.Check {
	return api.Check{State: api.CheckFail, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

func skip(format string, args ...any) api.Check {
	return api.Check{State: api.CheckSkipped, Detail: fmt.Sprintf(format, args...)}
}

// home looks whether the folder is there and can be written.
func (e *exam) home(context.Context) api.Check {
	dir := e.cfg.Home
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fine("%s is not there yet: the first command makes it", dir)
	}
	if err == nil && !st.IsDir() {
		return fail("move the file away, or use another --home", "%s is not a folder", dir)
	}
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".doctor-*"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		return fail("check owner and mode of the folder: the node runs as its own user", "%v", err)
	}
	return fine("%s can be written", dir)
}

// permissions looks who else can read the home.
func (e *exam) permissions(context.Context) api.Check {
	if os.PathSeparator != '/' {
		return skip("not known on this system")
	}
	st, err := os.Stat(e.cfg.Home)
	if err != nil {
		return skip("there is no home")
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return warn("chmod 700 "+e.cfg.Home, "the home has mode %04o: other users can look into it", mode)
	}
	return fine("nobody else can look into the home")
}

// keys looks at the keys that are there; it makes none.
func (e *exam) keys(context.Context) api.Check {
	h := home{e.cfg.Home}
	var have []string
	for _, name := range []string{"identity.key", "owner.key"} {
		if _, err := os.Lstat(filepath.Join(h.dir, name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		_, err := h.key(name)
		switch {
		case errors.Is(err, errOpenKey):
			return fail("chmod 600 "+filepath.Join(h.dir, name)+", and make a new home if it may have leaked", "%v", err)
		case err != nil:
			return fail("put the key back from a copy, or use another --home", "%v", err)
		}
		have = append(have, name)
	}
	if have == nil {
		return fine("there are none yet")
	}
	return fine("%s: good, and nobody else's to read", strings.Join(have, ", "))
}

// version looks whether this program knows the layout of the home.
func (e *exam) version(context.Context) api.Check {
	b, err := os.ReadFile(filepath.Join(e.cfg.Home, "format"))
	if errors.Is(err, fs.ErrNotExist) {
		return fine("a new home; this program writes version %d", homeFormat)
	}
	if err != nil {
		return fail("check owner and mode of the file", "%v", err)
	}
	text := strings.TrimSpace(string(b))
	v, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return fail("put the file back from a copy, or use another --home", "the version of the home is not a number: %q", text)
	case v > homeFormat:
		return fail("update this program, or use another --home", "the home has version %d, this program knows %d", v, homeFormat)
	}
	return fine("the home has version %d, as this program writes it", v)
}

// asleep looks at the sets of a home in which no node runs.
func asleep(dir string) func(context.Context) ([]replica.Casualty, int, error) {
	return func(context.Context) ([]replica.Casualty, int, error) {
		return replica.CasualtiesAt(home{dir}.records())
	}
}

// casualties looks whether what others are promised is here: the folders of sets, and what is known of their bytes.
func (e *exam) casualties(ctx context.Context) api.Check {
	all, known, err := e.sets(ctx)
	if err != nil {
		return fail("put the file back from a copy, or share or get the set again", "%v", err)
	}
	if len(all) == 0 {
		return fine("%s, and nothing of them is known to be lost", plural(known, "set"))
	}
	var what, cures []string
	for _, c := range all[:min(len(all), maxTold)] {
		is, cure := harmText(c.State, c.Harm, "node ")
		what, cures = append(what, c.State.Name+": "+is), append(cures, cure)
	}
	if more := len(all) - len(what); more > 0 {
		what = append(what, plural(more, "other set"))
	}
	return fail(strings.Join(cures, "; "), "%s", strings.Join(what, "; "))
}

// roomy is when nothing is said about space: a revision of a large set is some GiB, and somebody has to react.
const roomy = 2 << 30

func (e *exam) disk(context.Context) api.Check {
	reserve := e.cfg.Reserve
	if reserve == 0 {
		reserve = badgerstore.DefaultReserve
	}
	dir := e.cfg.Home
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, err := e.m.free(dir)
	switch {
	case err != nil:
		return warn("`df -h "+dir+"` may say more", "free space of %s: %v", dir, err)
	case free < badgerstore.LeastFree(reserve):
		return fail("remove something else from this disk: `node gc` and `node rm` need some room themselves",
			"%s free: below %s nothing can be removed either, and a node that ends does not start again", bytesText(free), bytesText(badgerstore.LeastFree(reserve)))
	case free < reserve:
		return fail("free some space: `node gc` gives back what no set needs", "%s free, and the store leaves %s: nothing can be added", bytesText(free), bytesText(reserve))
	case free < reserve+roomy:
		return warn("free some space: `node gc` gives back what no set needs", "%s free, of which the store leaves %s", bytesText(free), bytesText(reserve))
	}
	return fine("%s free", bytesText(free))
}

// bytesText is a size for people.
func bytesText(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

const (
	// clockSlack is how far the stamp of a file may be ahead: clocks are stepped by that much when they are set.
	clockSlack = 2 * time.Minute
	// firstYear is before any release: a clock that says so was never set.
	firstYear = 2026
)

// clock looks whether time has gone backwards: invites expire, and revisions are dated, by it.
func (e *exam) clock(context.Context) api.Check {
	const hint = "set the clock: `timedatectl set-ntp true`"
	now := e.m.now()
	if now.Year() < firstYear {
		return fail(hint, "it is %s by this clock", now.UTC().Format(time.RFC3339))
	}
	for _, name := range []string{"records", "peers.json", "boot", "format"} {
		st, err := os.Stat(filepath.Join(e.cfg.Home, name))
		if err == nil && st.ModTime().Sub(now) > clockSlack {
			return fail(hint, "%s was written %v from now by this clock", name, st.ModTime().Sub(now).Round(time.Second))
		}
	}
	return fine("%s", now.UTC().Format(time.RFC3339))
}
