//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dustin/go-humanize"
)

// bytesOf is a number of bytes in full: the bars are too close to the figures for units.
func bytesOf(n int64) string { return humanize.Comma(n) }

func most64[T int64 | float64](all []T) T  { return slices.Max(all) }
func least64[T int64 | float64](all []T) T { return slices.Min(all) }

var rsyncTotal = regexp.MustCompile(`Total bytes (?:sent|received): ([0-9,.]+)`)

// rsyncUpdate makes dest what the daemon has, from the namespace of a machine or from here (nil), and returns
// the bytes rsync says it sent and received.
func rsyncUpdate(ctx context.Context, from *machine, url, dest string) (usage, int64, error) {
	// -1: times are compared to the nanosecond, as both file systems here keep them.
	line := []string{"rsync", "-a", "--delete", "--stats", "--modify-window=-1", url, dest + "/"}
	if from != nil {
		line = from.inside(line...)
	}
	u, out, err := timed(ctx, line[0], line[1:]...)
	if err != nil {
		return u, 0, err
	}
	var total int64
	found := rsyncTotal.FindAllStringSubmatch(string(out), -1)
	if len(found) != 2 {
		return u, 0, fmt.Errorf("rsync --stats told no totals: %s", lastLines(string(out)))
	}
	for _, f := range found {
		n, err := strconv.ParseInt(strings.NewReplacer(",", "", ".", "").Replace(f[1]), 10, 64)
		if err != nil {
			return u, 0, fmt.Errorf("rsync --stats: %w", err)
		}
		total += n
	}
	return u, total, nil
}

// casyncStore is a store that a web server hands out, as casync is used between machines.
type casyncStore struct {
	dir  string // the store and its indexes
	dest string // the receiver's copy
	url  string
	sent *atomic.Int64 // by the web server, headers included
}

// newCasync makes a store of the folder and a copy of the folder for the receiver.
func (b *bench) newCasync(ctx context.Context, data string) (*casyncStore, error) {
	if !b.casync {
		return nil, fmt.Errorf("not asked for")
	}
	if _, err := exec.LookPath("casync"); err != nil {
		return nil, err
	}
	s := &casyncStore{dir: b.fresh("casync"), dest: filepath.Join(b.fresh("casync-copy"), "d"), sent: new(atomic.Int64)}
	if _, _, err := timed(ctx, "cp", "-a", data, s.dest); err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(http.FileServer(http.Dir(s.dir)))
	server.Listener = &countingListener{server.Listener, s.sent}
	server.Start()
	context.AfterFunc(ctx, server.Close)
	s.url = server.URL
	_, err := s.make(ctx, data)
	return s, err
}

func (s *casyncStore) make(ctx context.Context, data string) (usage, error) {
	u, _, err := timed(ctx, "casync", "make", "--store="+filepath.Join(s.dir, "store.castr"), filepath.Join(s.dir, "data.caidx"), data)
	return u, err
}

// update adds the folder to the store and brings the copy to it; bytes are those the web server moved.
func (s *casyncStore) update(ctx context.Context, data string) (made, got usage, bytes int64, err error) {
	if made, err = s.make(ctx, data); err != nil {
		return made, got, 0, err
	}
	before := s.sent.Load()
	got, _, err = timed(ctx, "casync", "extract", "--store="+s.url+"/store.castr", s.url+"/data.caidx", s.dest)
	return made, got, s.sent.Load() - before, err
}

// countingListener counts what its connections move, in both directions.
type countingListener struct {
	net.Listener
	moved *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{c, l.moved}, nil
}

type countingConn struct {
	net.Conn
	moved *atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.moved.Add(int64(n))
	return n, err
}

func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.moved.Add(int64(n))
	return n, err
}
