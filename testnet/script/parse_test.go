package script

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at[T any](v T) *T { return &v }

func named(names ...string) Who { return Who{Names: names} }

var (
	all     = Who{Role: "all"}
	primary = Who{Role: "primary", Set: "docs"}
)

// stage is declared before every statement of the tables.
const stage = "nodes a, b, edge-1 to edge-4\nshare docs at a from toolchain\n"

type example struct {
	line, canonical string // "" = like line
	do              Action
}

func examples() []example {
	return []example{
		{"nodes origin", "", Nodes{[]string{"origin"}}},
		{"nodes origin, x-8 to x-10 and spare", "nodes origin, x-8, x-9, x-10, spare", Nodes{[]string{"origin", "x-8", "x-9", "x-10", "spare"}}},
		{"share more at a size 64MiB in 8 files", "", Share{Set: "more", At: named("a"), Size: 64 << 20, Files: 8}},
		{"share more at primary of docs size 1.5kB private strict", "share more at primary of docs size 1500B in 1 file strict private", Share{Set: "more", At: primary, Size: 1500, Files: 1, Strict: true, Private: true}},
		{`share more at a from "/some/folder # 1" private`, "", Share{Set: "more", At: named("a"), From: "/some/folder # 1", Private: true}},
		{"share more at a from toolchain", "", Share{Set: "more", At: named("a"), From: "toolchain"}},
		{"publish docs at a", "", Publish{"docs", named("a")}},
		{"publish docs at primary of docs", "", Publish{"docs", primary}},
		{"edit docs at a overwrite 4KiB", "", Edit{Set: "docs", At: named("a"), Kind: Overwrite, Size: 4096}},
		{"edit docs at a insert 10B 3 times", "", Edit{Set: "docs", At: named("a"), Kind: Insert, Size: 10, Times: 3}},
		{"edit docs at a append 1MB", "", Edit{Set: "docs", At: named("a"), Kind: Append, Size: 1e6}},
		{"edit docs at a add 1MiB", "", Edit{Set: "docs", At: named("a"), Kind: Add, Size: 1 << 20}},
		{"edit docs at a rename", "", Edit{Set: "docs", At: named("a"), Kind: Rename}},
		{"edit docs at a remove 2 times", "", Edit{Set: "docs", At: named("a"), Kind: Remove, Times: 2}},
		{"edit docs at a upgrade", "", Edit{Set: "docs", At: named("a"), Kind: Upgrade}},
		{"get docs at edge-1 to edge-3", "get docs at edge-1, edge-2, edge-3", Get{"docs", named("edge-1", "edge-2", "edge-3")}},
		{"follow docs at b and edge-2", "follow docs at b, edge-2", Follow{"docs", named("b", "edge-2")}},
		{"replicate docs at b", "", Replicate{"docs", named("b")}},
		{"grant docs to b writer", "", Grant{"docs", named("b"), "writer"}},
		{"grant docs to edge-1 to edge-2 reader", "grant docs to edge-1, edge-2 reader", Grant{"docs", named("edge-1", "edge-2"), "reader"}},
		{"link a to b latency 20ms jitter 5ms loss 1% rate 10Mbit/s", "", Link{From: named("a"), To: named("b"), Latency: at(20 * time.Millisecond), Jitter: at(5 * time.Millisecond), Loss: at(0.01), Rate: at(int64(1250000))}},
		{"link a and edge-1 to edge-2 loss 0.125% latency 0s", "link a and edge-1, edge-2 latency 0s loss 0.125%", Link{From: named("a"), To: named("edge-1", "edge-2"), Both: true, Latency: at(time.Duration(0)), Loss: at(0.00125)}},
		{"link edge-1 to edge-2 and a rate unlimited", "link edge-1, edge-2 and a rate unlimited", Link{From: named("edge-1", "edge-2"), To: named("a"), Both: true, Rate: at(int64(0))}},
		{"link edge-1 to edge-2 rate 1B/s", "", Link{From: named("edge-1"), To: named("edge-2"), Rate: at(int64(1))}},
		{"link a, b to edge-1 to edge-2 plain", "link a, b to edge-1, edge-2 plain", Link{From: named("a", "b"), To: named("edge-1", "edge-2"), Plain: true}},
		{"link all and all plain", "", Link{From: all, To: all, Both: true, Plain: true}},
		{"uplink a 100Mbit/s", "", Limit{Who: named("a"), Up: at(int64(12500000))}},
		{"uplink a, b unlimited", "", Limit{Who: named("a", "b"), Up: at(int64(0))}},
		{"downlink all 12.5MB/s", "downlink all 100Mbit/s", Limit{Who: all, Down: at(int64(12500000))}},
		{"slow edge-1 to edge-2 to 1MiB/s", "slow edge-1, edge-2 to 1MiB/s", Limit{Who: named("edge-1", "edge-2"), Up: at(int64(1 << 20)), Down: at(int64(1 << 20))}},
		{"cut a to b", "", Cut{named("a"), named("b"), false}},
		{"cut primary of docs and all", "", Cut{primary, all, true}},
		{"cut all to a", "", Cut{all, named("a"), false}},
		{"partition a and b from edge-1 to edge-2 from edge-3", "partition a, b from edge-1, edge-2 from edge-3", Partition{[]Who{named("a", "b"), named("edge-1", "edge-2"), named("edge-3")}}},
		{"partition primary of docs from all", "", Partition{[]Who{primary, all}}},
		{"heal", "", Heal{All: true}},
		{"heal a and b", "", Heal{From: named("a"), To: named("b"), Both: true}},
		{"heal a to b", "", Heal{From: named("a"), To: named("b")}},
		{"kill edge-2 to edge-2", "kill edge-2", Process{Kill, named("edge-2")}},
		{"kill primary of docs", "", Process{Kill, primary}},
		{"stop backup of docs", "", Process{Stop, Who{Role: "backup", Set: "docs"}}},
		{"restart all", "", Process{Restart, all}},
		{"pause a", "", Process{Pause, named("a")}},
		{"resume a, b", "", Process{Resume, named("a", "b")}},
		{"corrupt docs at b", "", Corrupt{Set: "docs", Who: named("b")}},
		{"corrupt store of a, b 10 times", "", Corrupt{Who: named("a", "b"), Times: 10}},
		{"fill disk of edge-1", "", Disk{named("edge-1"), true}},
		{"free disk of all", "", Disk{all, false}},
		{"liar edge-1", "", Lie{named("edge-1"), true}},
		{"honest edge-1", "", Lie{named("edge-1"), false}},
		{"wait 2s", "", Wait{For: 2 * time.Second}},
		{"wait until edge-1 has docs", "", Wait{Until: Has{Who: named("edge-1"), Set: "docs"}}},
		{"wait until edge-1 to edge-2 have docs within 90s", "wait until edge-1, edge-2 have docs within 1m30s", Wait{Until: Has{Who: named("edge-1", "edge-2"), Set: "docs"}, Within: 90 * time.Second}},
		{"expect all have docs", "", Expect{What: Has{Who: all, Set: "docs"}}},
		{"expect edge-1 has revision 2 of docs within 1h", "", Expect{Has{Who: named("edge-1"), Set: "docs", Revision: 2}, time.Hour}},
		{"expect edge-1 has 40% of docs", "", Expect{What: Has{Who: named("edge-1"), Set: "docs", Part: 0.4}}},
		{"expect a is primary of docs", "", Expect{What: Is{Who: named("a"), What: "primary", Set: "docs"}}},
		{"expect a and b are not backup of docs within 10m", "expect a, b are not backup of docs within 10m", Expect{Is{Who: named("a", "b"), What: "backup", Set: "docs", Not: true}, 10 * time.Minute}},
		{"expect a, b are replica of docs", "expect a, b are replicas of docs", Expect{What: Is{Who: named("a", "b"), What: "replica", Set: "docs"}}},
		{"expect all are not readers of docs", "", Expect{What: Is{Who: all, What: "reader", Set: "docs", Not: true}}},
		{"expect edge-1 is reader of docs", "", Expect{What: Is{Who: named("edge-1"), What: "reader", Set: "docs"}}},
		{"expect edge-1 is down", "", Expect{What: Is{Who: named("edge-1"), What: "down"}}},
		{"expect docs has a primary within 1500ms", "expect docs has a primary within 1.5s", Expect{There{"docs", "primary"}, 1500 * time.Millisecond}},
		{"expect docs has a backup", "", Expect{What: There{"docs", "backup"}}},
		{"expect docs is durable", "", Expect{What: There{"docs", "durable"}}},
		{"wait until docs agrees", "", Wait{Until: There{"docs", "agrees"}}},
		{"expect a sent at most 1.3 docs", "", Expect{What: Moved{Who: named("a"), Sent: true, Times: 1.3, Set: "docs"}}},
		{"wait until edge-1 received at least 200kB", "", Wait{Until: Moved{Who: named("edge-1"), Least: true, Bytes: 200000}}},
		{"expect get docs took at most 8s at edge-1 to edge-2", "expect get docs took at most 8s at edge-1, edge-2", Expect{What: Took{What: "get", Set: "docs", At: named("edge-1", "edge-2"), Most: 8 * time.Second}}},
		{"expect follow docs took at most 2s at all", "", Expect{What: Took{What: "follow", Set: "docs", At: all, Most: 2 * time.Second}}},
		{"expect publish docs took at most 300ms", "", Expect{What: Took{What: "publish", Set: "docs", Most: 300 * time.Millisecond}}},
		{"expect failover of docs took at most 1.5s", "", Expect{What: Took{What: "failover", Set: "docs", Most: 1500 * time.Millisecond}}},
		{"expect b refuses to publish docs", "", Expect{What: Refuses{named("b"), "docs"}}},
		{"expect edge-1, edge-2 refuse to publish docs", "", Expect{What: Refuses{named("edge-1", "edge-2"), "docs"}}},
		{"check", "", Check{}},
		{"check agree, files and crashes", "check agree, files, crashes", Check{[]string{Agree, Files, Crashes}}},
		{`say "The primary is gone, #1 of 2."`, "", Say{"The primary is gone, #1 of 2."}},
		{"mark", "", Mark{}},
	}
}

func TestEveryStatement(t *testing.T) {
	for _, e := range examples() {
		for prefix, when := range map[string]When{
			"":                     {},
			"at 5s ":               {At: 5 * time.Second},
			"after 1m ":            {After: time.Minute},
			"every 500ms for 10s ": {Every: 500 * time.Millisecond, For: 10 * time.Second},
			"every 1h 20 times ":   {Every: time.Hour, Times: 20},
		} {
			switch e.do.(type) {
			case Nodes, Share, Wait:
				if when.Every > 0 {
					continue
				}
			}
			s, err := Parse("t", []byte(stage+"\t"+prefix+e.line+"\t# why\r\n"))
			if err != nil {
				t.Errorf("%q: %v", prefix+e.line, err)
				continue
			}
			got := s.Statements[2]
			want := Statement{Line: 3, Col: 2, Text: prefix + e.line, When: when, Do: e.do}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%q: -want +got\n%s", e.line, d)
			}
			canonical := e.canonical
			if canonical == "" {
				canonical = e.line
			}
			if got.String() != prefix+canonical {
				t.Errorf("%q prints as %q, want %q", prefix+e.line, got, prefix+canonical)
			}
		}
	}
}

// mistake is a line behind stage, where its error is, and how the error begins.
type mistake struct {
	line string
	col  int
	want string
}

func mistakes() []mistake {
	return []mistake{
		{"kil a", 1, `expected a statement, not "kil"; did you mean kill?`},
		{"a has docs", 1, `expected a statement, such as: expect a …, not "a"`},
		{", a", 1, `expected a statement, which begins with check, corrupt, cut, downlink, edit, expect, fill, follow, free, get, grant, heal, honest, kill, liar, link, mark, nodes, partition, pause, publish, replicate, restart, resume, say, share, slow, stop, uplink or wait, not ","`},
		{"at 5s", 6, "expected a statement, which begins with check,"},
		{"kill edg-1", 6, `there is no node "edg-1"; did you mean edge-1?`},
		{"kill  egde-1", 7, `there is no node "egde-1"; did you mean edge-1?`},
		{"kill origin", 6, `there is no node "origin"; start it with nodes on an earlier line`},
		{"kill", 5, "expected the name of a node, not the end of the line"},
		{"kill a,", 8, "expected the name of a node, not the end of the line"},
		{"kill a b", 8, `expected the end of the line, not "b"`},
		{"kill a, b, a", 12, "a is named twice; expected it once"},
		{"kill edge-1 to edge-9", 6, `there is no node "edge-5"; did you mean edge-1?`},
		{"kill edge-3 to edge-2", 16, "expected a number from 3 on, and at most 100 names, not edge-2"},
		{"kill edge-1 to b", 16, "edge-1 to b is no range; expected two names that differ in the number at their end, as edge-1 to edge-4"},
		{"kill primary docs", 14, `expected of, not "docs"`},
		{"kill primary of doc", 17, `there is no set "doc"; did you mean docs?`},
		{"kill \"a\"", 6, "expected the name of a node, not a text in quotes"},
		{`kill edge-1 "to" edge-2`, 13, "expected the end of the line, not a text in quotes"},
		{`kill edge-1 to "edge-2"`, 13, `expected the end of the line, not "to"`},
		{`cut "a" to b`, 5, "expected the name of a node, not a text in quotes"},
		{`link a "and" b plain`, 8, "expected and (both directions) or to (one direction), not a text in quotes"},
		{`get "docs" at b`, 5, "expected the name of a set, not a text in quotes"},
		{`"kill" a`, 1, "expected a statement, which begins with"},
		{`expect "a" has docs`, 8, "expected a condition, which begins with"},
		{`expect a has "docs"`, 14, "expected a set, revision 2"},
		{`wait "2s"`, 6, "expected a time such as 2s, or until, not a text in quotes"},
		{`kill a, all`, 9, `expected the name of a node, not "all"`},
		{"nodes a", 7, "there is a node a already; expected a new name"},
		{"nodes docs", 7, "there is a set docs already; expected a new name"},
		{"nodes backup", 7, "backup is a word of the language; expected another name for a node, such as backup-1"},
		{"nodes Edge", 7, `expected a name for a node: a letter, then letters, digits and hyphens, at most 32, in lower case, not "Edge"`},
		{"nodes x1 to x200", 13, "expected a number from 1 on, and at most 100 names, not x200"},
		{"nodes x1 to x95", 7, "expected at most 100 nodes"},
		{"share docs at a size 1MB", 7, "there is a set docs already; expected a new name"},
		{"share store at a size 1MB", 7, "store is a word of the language; expected another name for a set, such as store-1"},
		{"share x at a, b size 1MB", 12, "expected one node, not several"},
		{"share x at a siz 1MB", 14, `expected size or from, not "siz"; did you mean size?`},
		{"share x at a size 64", 19, "64 has no unit; expected it right behind the number, as in 64MiB"},
		{"share x at a size 64 MiB", 19, "64 has no unit; expected it right behind the number, as in 64MiB"},
		{"share x at a size 64Mib", 19, `there is no unit "Mib"; expected one of B, kB, KiB, MB, MiB, GB or GiB; did you mean MiB?`},
		{"share x at a size big", 19, `expected a size such as 64MiB, not "big"`},
		{"share x at a size 0MB", 19, "0MB is too small; expected a size from 1 byte to 1 TiB, as in 64MiB"},
		{"share x at a size 999999999999GB", 19, "999999999999GB is too large; expected a size from 1 byte to 1 TiB, as in 64MiB"},
		{"share x at a size 1MB in 0 files", 26, `expected a number of files from 1 to 10000, not "0"`},
		{"share x at a from /tmp", 19, `expected a folder in quotes, as in from "/some/folder", or toolchain, not "/tmp"`},
		{"share x at a from \"/tmp", 19, `this quote is not closed; expected another " on the same line`},
		{"publish docs", 13, "expected at, not the end of the line"},
		{"edit docs at a overwite 4KiB", 16, `expected overwrite, insert, append, add, rename, remove or upgrade, not "overwite"; did you mean overwrite?`},
		{"edit docs at a overwrite", 25, "expected a size such as 64MiB, not the end of the line"},
		{"edit docs at a rename 1 times", 23, `expected a number of times from 2 to 1000, not "1"`},
		{"edit docs at a rename twice", 23, `expected a number of times from 2 to 1000, not "twice"`},
		{"grant docs to a primary", 17, `expected reader or writer, not "primary"`},
		{"link a and b", 13, "expected latency, jitter, loss, rate or plain, not the end of the line"},
		{"link a b latency 1s", 8, `expected and (both directions) or to (one direction), not "b"`},
		{"link a and a latency 1s", 6, "a is on both sides; expected two nodes"},
		{"uplink a 100Mbps", 10, `there is no unit "Mbps"; expected one of kbit/s, Mbit/s, Gbit/s, B/s, kB/s, KiB/s, MB/s, MiB/s, GB/s or GiB/s; did you mean Mbit/s?`},
		{"link a and b latency 2m", 22, "2m is too long for a link; expected at most 1m"},
		{"link a and b latncy 1s", 14, `expected latency, jitter, loss, rate or plain, not "latncy"; did you mean latency?`},
		{"link a and b latency 1s latency 2s", 25, "latency is said twice; expected it once"},
		{"link a and b latency 1s plain", 25, "plain stands alone; expected nothing beside it"},
		{"link a and b latency 5", 22, "5 has no unit; expected ms, s, m or h right behind the number, as in 500ms"},
		{"link a and b latency -5ms", 22, `expected a time such as 500ms, 2s or 1m30s, not "-5ms"`},
		{"link a and b loss 101%", 19, "101% is out of range; expected 0% to 100%"},
		{"link a and b loss 1", 19, `expected a percentage such as 1%, not "1"`},
		{"link a and b rate 5MB", 19, `there is no unit "MB"; expected one of kbit/s, Mbit/s, Gbit/s, B/s, kB/s, KiB/s, MB/s, MiB/s, GB/s or GiB/s; did you mean MB/s?`},
		{"uplink a fast", 10, `expected a rate or unlimited, a rate such as 100Mbit/s, not "fast"`},
		{"slow a to unlimited", 11, `expected a rate such as 100Mbit/s, not "unlimited"`},
		{"partition a", 12, "expected from, not the end of the line"},
		{"partition a, b from b", 21, "b is in two groups; expected it in one"},
		{"heal a", 7, "expected and (both directions) or to (one direction), not the end of the line"},
		{"corrupt stor of a", 9, `there is no set "stor"; expected docs`},
		{"fill a", 6, `expected disk, not "a"`},
		{"wait", 5, "expected a time such as 2s, or until, not the end of the line"},
		{"wait 0s", 6, "0s is no time at all; expected more than 0"},
		{"wait 25h", 6, "25h is too long; expected at most 24h"},
		{"wait untill a has docs", 6, `expected a time such as 2s, or until, not "untill"; did you mean until?`},
		{"wait until a sent at most 1MB", 12, "this is only known now and not waited for; expected it behind expect"},
		{"expect", 7, "expected a condition, which begins with a node, a set,"},
		{"expect edge1 has docs", 8, `there is no node or set "edge1"; did you mean edge-1?`},
		{"expect failver of docs took at most 1s", 8, `there is no node or set "failver"; did you mean failover?`},
		{"expect a owns docs", 10, `expected has, have, is, are, sent, received, refuses or refuse, not "owns"`},
		{"expect a has", 13, "expected a set, revision 2 of a set, or 40% of a set, not the end of the line"},
		{"expect a has revision 0 of docs", 23, `expected the number of a revision from 1 to 1000000000, not "0"`},
		{"expect a has 0% of docs", 14, "0% is out of range; expected more than 0% to 100%"},
		{"expect a is dwn", 13, `expected primary, backup, replica, replicas, reader, readers, up or down, not "dwn"; did you mean down?`},
		{"expect docs has primary", 17, `expected a, not "primary"`},
		{"expect docs has a primary within", 33, "expected a time such as 500ms, 2s or 1m30s, not the end of the line"},
		{"expect a sent at most 1.3", 26, "expected a set behind 1.3, or a unit right behind the number, as in 1.3 docs or 200kB, not the end of the line"},
		{"expect a sent at most 1.3 MB", 27, `there is no set "MB"; expected docs`},
		{"expect a sent at most 0 docs", 23, "0 is out of range; expected more than 0 and at most 1000, as in 1.3 docs"},
		{"expect a sent at most docs", 23, `expected an amount such as 1.3 of a set, or a size such as 1.3 docs or 200kB, not "docs"`},
		{"expect get docs took at most 8s within 9s", 33, "time makes this no better; expected no within"},
		{"check agreed", 7, `expected acknowledged, primaries, agree, files or crashes, not "agreed"; did you mean agree?`},
		{"check agree, agree", 14, "agree is named twice; expected it once"},
		{"say hello", 5, `expected a sentence in quotes, as in: say "The primary is gone.", not "hello"`},
		{`say ""`, 5, "expected a sentence in quotes"},
		{"every 1s nodes x", 10, `expected for and a time, or a number and times, as in every 500ms for 10s or every 500ms 20 times, not "nodes"`},
		{"every 1s 3 times nodes x", 18, "nodes cannot be repeated; expected another statement behind every"},
		{"every 5s for 2s mark", 10, "2s is less than 5s; expected a time in which it happens"},
		{"every 1s fro 2s mark", 10, `expected for and a time, or a number and times, as in every 500ms for 10s or every 500ms 20 times, not "fro"; did you mean for?`},
		{"kill ä\u00a0b", 7, "U+00A0 cannot be printed; expected text, blanks and tabs"},
		{"kill a # \x1b[2J", 10, "U+001B cannot be printed; expected text, blanks and tabs"},
		{"say \"\xff\"", 6, "the byte ff is no UTF-8; expected text"},
	}
}

func TestErrors(t *testing.T) {
	for _, c := range mistakes() {
		_, err := Parse("t", []byte(stage+c.line))
		var first Error
		if !errors.As(err, &first) {
			t.Errorf("%q: no error", c.line)
			continue
		}
		if want := fmt.Sprintf("t:3:%d: %s", c.col, c.want); !strings.HasPrefix(first.Error(), want) {
			t.Errorf("%q:\n%s, want\n%s", c.line, first.Error(), want)
		}
	}
}

func TestMomentsDoNotGoBack(t *testing.T) {
	if _, err := Parse("t", []byte("at 5s mark\nmark\nat 5s mark\nat 6s mark")); err != nil {
		t.Error(err)
	}
	_, err := Parse("t", []byte("at 5s mark\nmark\nat 4s mark"))
	if want := "t:3:1: an earlier line is at 5s already; expected that or later"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestUpgradeNeedsTheToolchain(t *testing.T) {
	_, err := Parse("t", []byte("nodes a\nshare docs at a size 1MB\nedit docs at a upgrade"))
	if want := "t:3:16: only a set that is shared from toolchain has an upgrade; expected another edit of docs"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestErrorsOfManyLines shows that one wrong declaration is one error, and that ten are enough.
func TestErrorsOfManyLines(t *testing.T) {
	_, err := Parse("t", []byte("nodes a, b, Bad\nshare docs at a size 1Mb\nkill a\nkill x\nkill b\nget docs at a"))
	want := []string{"t:1:13: ", "t:2:22: ", "t:4:6: "}
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != len(want) {
		t.Fatalf("%v, want %d errors", err, len(want))
	}
	for i := range want {
		if !strings.HasPrefix(strings.Split(err.Error(), "\n")[i], want[i]) {
			t.Errorf("%v, want it at %s", errs[i], want[i])
		}
	}
	_, err = Parse("t", []byte(strings.Repeat("kill x\n", 50)))
	if !errors.As(err, &errs) || len(errs) != maxErrors {
		t.Errorf("%d errors, want %d", len(errs), maxErrors)
	}
}

func TestLimits(t *testing.T) {
	statements := func(n int) []byte { return []byte(strings.Repeat("mark\n", n)) }
	if s, err := Parse("t", statements(maxStatements)); err != nil || len(s.Statements) != maxStatements {
		t.Errorf("%d statements: %v", maxStatements, err)
	}
	_, err := Parse("t", statements(maxStatements+20))
	if want := "t:1001:1: a script has at most 1000 statements; expected none here"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	text := strings.Repeat("#", maxText)
	if _, err := Parse("t", []byte(text)); err != nil {
		t.Error(err)
	}
	if _, err := Parse("t", []byte(text+"#")); err == nil {
		t.Error("a script that is too large was read")
	}
	if _, err := ParseLine(nil, nil, "mark "+text); err == nil {
		t.Error("a statement that is too large was read")
	}
	long := strings.Repeat("x", maxName)
	if _, err := Parse("t", []byte("nodes "+long)); err != nil {
		t.Error(err)
	}
	if _, err := Parse("t", []byte("nodes "+long+"x")); err == nil {
		t.Error("a name that is too long was read")
	}
}

func TestAbout(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		"\n\n# One.\n#\n## Two.\n\n# Three.\nmark": "One. Two.",
		"# One.\nmark\n# Two.":                     "One.",
		"mark # One.\n# Two.":                      "",
		"#One.\r\n  # Two.\r\nmark\r\n":            "One. Two.",
	} {
		s, err := Parse("t", []byte(text))
		if err != nil || s.About != want {
			t.Errorf("%q: %v %v, want %q", text, s, err, want)
		}
	}
}

func TestParseLine(t *testing.T) {
	known, sets := []string{"a", "b"}, []string{"docs"}
	st, err := ParseLine(known, sets, " after 2s kill a and b # now")
	want := Statement{Line: 1, Col: 2, Text: "after 2s kill a and b", When: When{After: 2 * time.Second}, Do: Process{Kill, named("a", "b")}}
	if d := cmp.Diff(want, st); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if _, err := ParseLine(known, sets, "edit docs at a upgrade"); err != nil {
		t.Error(err)
	}
	for line, want := range map[string]string{
		"":               "column 1: expected a statement, such as: kill all",
		"# nothing":      "column 1: expected a statement, such as: kill all",
		"kill c":         `column 6: there is no node "c"; expected a or b`,
		"at 5s kill a":   "column 1: at counts from the beginning of a script; expected after, as in: after 2s",
		"kill a\nkill b": "column 7: U+000A cannot be printed; expected text, blanks and tabs",
		"nodes a":        "column 7: there is a node a already; expected a new name",
	} {
		_, err := ParseLine(known, sets, line)
		var e Error
		if !errors.As(err, &e) || e.Error() != want {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}
