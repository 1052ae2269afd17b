package council

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/node/slots"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// TestTables lets a table change at random and a voice hear some of its beacons, late and twice, and pull pages:
// when it has no gap, it has the table.
func TestTables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		boot := rapid.Uint64Range(1, 3).Draw(t, "boot")
		own := newTable(boot)
		v := (&talker{}).voice(boot)
		all := func(cid.Cid) bool { return true }
		var said []beacon.Message
		repeat := [resend]uint64{}
		for no := uint64(1); no <= 40; no++ {
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				data := []byte(rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "data"))
				own.set(setID(rapid.IntRange(0, 9).Draw(t, "set")), data)
			}
			m := beacon.Message{Boot: boot, No: no, Table: own.version}
			m.Since, m.Seats = own.delta(repeat[0])
			copy(repeat[:], repeat[1:])
			repeat[resend-1] = m.Table
			said = append(said, m)
			for range rapid.IntRange(0, 2).Draw(t, "heard") {
				v.take(rapid.SampledFrom(said).Draw(t, "beacon"), time.Duration(no), all)
			}
			if v.gap() && rapid.Bool().Draw(t, "pull") {
				version, seats := own.page(v.version, 200)
				v.apply(seats, version, all)
				v.version = max(v.version, version)
			}
		}
		v.take(said[len(said)-1], 100, all)
		for range 20 {
			if v.gap() {
				version, seats := own.page(v.version, 200)
				v.apply(seats, version, all)
				v.version = max(v.version, version)
			}
		}
		if v.gap() || v.version != own.version {
			t.Fatalf("version %d of %d", v.version, own.version)
		}
		for set, row := range own.rows {
			r := v.rows[set]
			if r == nil || r.version != row.Version || !v.current(r) {
				t.Fatalf("row %v of version %d is %+v", set, row.Version, r)
			}
		}
	})
}

// TestDeltaFits: a beacon has at most what it may have, and says after which version that is all.
func TestDeltaFits(t *testing.T) {
	for _, size := range []int{10, beacon.MaxSeat} {
		own := newTable(1)
		for i := range 2 * beacon.MaxSeats {
			own.set(setID(i), bytes.Repeat([]byte{1}, size))
		}
		since, seats := own.delta(0)
		total := 0
		for _, s := range seats {
			total += len(s.Data)
			if s.Version <= since {
				t.Errorf("version %d, since %d", s.Version, since)
			}
		}
		if len(seats) == 0 || len(seats) > beacon.MaxSeats || total > beacon.MaxSeatsSize || since+uint64(len(seats)) != own.version {
			t.Errorf("%d seats of %d bytes since %d in version %d", len(seats), total, since, own.version)
		}
		if version, all := own.page(0, 1<<20); version != own.version || len(all) != 2*beacon.MaxSeats {
			t.Errorf("page has %d seats of version %d", len(all), version)
		}
	}
}

func TestVoices(t *testing.T) {
	talker := &talker{}
	for boot := range uint64(5) {
		talker.voice(boot).heard = time.Duration(boot)
	}
	if len(talker.voices) != maxVoices || talker.voices[0].boot != 2 {
		t.Errorf("%d voices, first %d", len(talker.voices), talker.voices[0].boot)
	}
	v := talker.voice(4)
	wanted := func(c cid.Cid) bool { return c == setID(1) }
	row, err := encodeRow(instance(0, 0), &election.State{ConfigVersion: 1})
	if err != nil {
		t.Fatal(err)
	}
	seats := []beacon.Seat{{Set: setID(1), Version: 5, Data: row}, {Set: setID(2), Version: 4, Data: row}}
	if changed := v.take(beacon.Message{No: 100, Table: 5, Seats: seats}, 1, wanted); !slices.Equal(changed, []cid.Cid{setID(1)}) {
		t.Errorf("changed %v", changed)
	}
	if v.take(beacon.Message{No: 99, Table: 4, Since: 3}, 2, wanted); v.heard != 1 || v.stray.count != 0 || v.gap() {
		t.Errorf("late beacon: %+v", v)
	}
	if v.take(beacon.Message{No: 50}, 2, wanted); v.stray != (strays{1, 50}) {
		t.Errorf("stray beacon: %+v", v.stray)
	}
	v.take(beacon.Message{No: 101, Table: 9, Since: 8, Seats: []beacon.Seat{{Set: setID(1), Version: 9, Data: []byte{1}}}}, 3, wanted)
	if r := v.rows[setID(1)]; !v.gap() || !v.current(r) || r.row != nil {
		t.Errorf("row that cannot be read: %+v", r)
	}
}

func TestRedials(t *testing.T) {
	p := peer.ID("p")
	run := func(r *redials, from, to time.Duration) (at []time.Duration) {
		for now := from; now <= to; now += 10 * ms {
			if dial, next := r.due(now); len(dial) > 0 {
				at = append(at, now-from)
			} else if next < now {
				t.Fatalf("next %v at %v", next, now)
			}
		}
		return at
	}
	fresh := func() *redials {
		r := &redials{grace: time.Second}
		r.want(p, 0)
		return r
	}
	after := func(f func(r *redials)) []time.Duration {
		r := fresh()
		r.heard(p)
		f(r)
		return run(r, time.Minute, time.Minute+3*time.Second)
	}
	now := time.Minute
	every := []time.Duration{200 * ms, 500 * ms, 1500 * ms, 2500 * ms}
	for name, c := range map[string]struct {
		got, want []time.Duration
	}{
		"never heard":           {run(fresh(), 0, 3*time.Second), []time.Duration{1000 * ms, 1200 * ms, 1500 * ms, 2500 * ms}},
		"heard":                 {after(func(r *redials) {}), nil},
		"broke":                 {after(func(r *redials) { r.broke(p, now); r.broke(p, now+5) }), every},
		"broke, relayed":        {after(func(r *redials) { r.broke(p, now); r.heard(p) }), every},
		"broke, joined, heard":  {after(func(r *redials) { r.broke(p, now); r.joined(p, now); r.heard(p) }), nil},
		"broke, joined, silent": {after(func(r *redials) { r.broke(p, now); r.joined(p, now) }), []time.Duration{1000 * ms, 1200 * ms, 1500 * ms, 2500 * ms}},
		"silent":                {after(func(r *redials) { r.silent(p, now); r.silent(p, now) }), []time.Duration{0, 200 * ms, 500 * ms, 1500 * ms, 2500 * ms}},
		"silent, heard":         {after(func(r *redials) { r.silent(p, now); r.heard(p) }), nil},
		"not wanted":            {after(func(r *redials) { r.want(p, now); r.broke(p, now); r.unwant(p); r.unwant(p) }), nil},
		"wanted by one":         {after(func(r *redials) { r.want(p, now); r.broke(p, now); r.unwant(p) }), every},
		"stranger":              {after(func(r *redials) { r.broke("q", now); r.silent("q", now); r.joined("q", now); r.unwant("q") }), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: dials at %v, want %v", name, c.got, c.want)
		}
	}
}

func TestOneWrite(t *testing.T) {
	p := func(n uint64) election.Action { return election.Persist{State: election.Persistent{Seq: n}} }
	r := func(n uint64) election.Action { return election.Refused{Proposal: n} }
	got := oneWrite([]election.Action{r(1), p(1), r(2), p(2), p(3), r(3)})
	if want := []election.Action{r(1), p(3), r(2), r(3)}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestHeadsForgotten(t *testing.T) {
	k := &heads{}
	all := fork(maxHeads + 1)
	for i, h := range all {
		if k.full() != (i > maxHeads) {
			t.Fatalf("full with %d", i)
		}
		k.add(h, []byte{1})
		k.add(h, []byte{2})
	}
	k.prune(map[cid.Cid]bool{all[0].ID: true})
	if k.full() || len(k.byID) != recentHeads+1 || k.find(all[0].ID) != all[0] || k.find(all[1].ID) != nil || k.sealed(all[len(all)-1].ID)[0] != 1 {
		t.Errorf("%d heads are left", len(k.byID))
	}
}

func TestStore(t *testing.T) {
	for _, size := range []int{10, 3000} { // the latter do not fit beside each other
		dir := t.TempDir()
		all := fork(40)
		sealed := func(id cid.Cid) []byte { return append(id.Bytes(), make([]byte, size)...) }
		verify := func(b []byte) (*election.Head, error) {
			for _, h := range all {
				if bytes.HasPrefix(b, h.ID.Bytes()) {
					return h, nil
				}
			}
			return nil, errors.New("unknown head")
		}
		p := election.Persistent{
			Instance: instance(0, 0), Boot: 3, Fresh: true, Seq: 5, Known: all, Have: all[:20], Durable: all[5:6], Waived: all[30:32],
			Epoch: all[0].Epoch, Granted: record.Epoch{ConfigVersion: 9},
		}
		s, value, err := openStore(dir, setID(0))
		if err != nil || value != nil {
			t.Fatal(err)
		}
		if err := s.save(p, sealed); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		s, value, err = openStore(dir, setID(0))
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.load(value, verify)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
		aside := func() int { files, _ := filepath.Glob(filepath.Join(dir, "*"+headExt)); return len(files) }
		if n := aside(); (n > 0) != (size > 1000) {
			t.Errorf("%d heads of %d bytes have files of their own", n, size)
		}
		p.Known, p.Have, p.Durable, p.Waived = all[:1], nil, nil, nil
		if err := s.save(p, sealed); err != nil || aside() > 0 {
			t.Errorf("%d heads have files of their own, %v", aside(), err)
		}
		if err := s.save(p, func(cid.Cid) []byte { return nil }); err == nil {
			t.Error("saved a head without bytes")
		}
		if err := s.save(election.Persistent{Instance: make([]byte, slots.MaxData)}, sealed); !errors.Is(err, slots.ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if _, err := s.load(value, func([]byte) (*election.Head, error) { return all[39], nil }); err == nil {
			t.Error("a head of another id was taken")
		}
		s.close()
		if err := removeState(dir, setID(0)); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	}
}

// TestBeyond: after a state that may not be the newest, no promise can be broken.
func TestBeyond(t *testing.T) {
	p := election.Persistent{Instance: instance(0, 0), Seq: 5, Epoch: record.Epoch{ConfigVersion: 2, N: 7}, Granted: record.Epoch{ConfigVersion: 1, N: 100}}
	held := election.NewHead(blockstore.Sum(cid.Raw, []byte("held")), p.Epoch, record.Vector{record.InstanceKey(instance(1, 0)): 9}, nil)
	got := beyond(p, nodeID(0), election.Config{Version: 2}, []*election.Head{held})
	if got.Seq <= p.Seq || got.Granted.Compare(p.Granted) != 0 || got.Epoch.Compare(p.Epoch) <= 0 || !got.Have.Holds(held) || !got.Known.Holds(held) {
		t.Errorf("ap: %+v", got)
	}
	got = beyond(p, nodeID(0), election.Config{Version: 2, Mode: election.Strict}, nil)
	if got.Granted.Compare(record.Epoch{ConfigVersion: 2, N: 1000, Owner: nodeID(5), Instance: instance(5, 0)}) <= 0 {
		t.Errorf("strict: %+v", got.Granted)
	}
}
