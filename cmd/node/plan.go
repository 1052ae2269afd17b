package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/node/api"
)

// printPlan prints all as data but the reminder that it was only a plan.
func (a *app) printPlan(w io.Writer, r api.GetResult) {
	lines := r.Lines
	if !a.opts.verbose {
		lines = gist(lines)
	}
	for _, l := range lines {
		fmt.Fprintln(w, oneLine(l))
	}
	whole := "whole set"
	if r.Only != nil {
		whole = "chosen"
	}
	facts(w,
		"set", fmt.Sprintf("%s revision %d", printable(r.Name), r.Revision),
		"folder", printable(r.Dest),
		whole, fmt.Sprintf("%s in %s", size(r.BytesTotal), filesOf(r)),
		"here", fmt.Sprintf("%s, %s", size(r.BytesReused), fraction(r.BytesReused, r.BytesTotal)),
		"to patch", size(r.BytesPatched),
		"to fetch", size(r.BytesFetched),
		"on the wire", "about "+size(r.WireEstimate),
		"in the way", inWay(r.InWay),
	)
	a.say("this is a plan: nothing was written")
}

// inWay is why a get would be refused, if it would be.
func inWay(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	shown := make([]string, len(paths))
	for i, p := range paths {
		shown[i] = printable(p)
	}
	return strings.Join(shown, ", ") + ": the get is refused without --force"
}

// planLines are what of a plan a screen has room for beside its figures.
const planLines = 20

// plannedBytes finds in a line of a plan what comes from others.
var plannedBytes = regexp.MustCompile(`(\d+) patched, (\d+) fetched$`)

// gist leaves of the lines of a plan those about the files of which most is to come, and the totals, its last two.
func gist(lines []string) []string {
	if len(lines) <= planLines {
		return lines
	}
	files, totals := lines[:len(lines)-2], lines[len(lines)-2:]
	weight := make([]int64, len(files))
	order := make([]int, len(files))
	for i, l := range files {
		order[i] = i
		if m := plannedBytes.FindStringSubmatch(l); m != nil {
			patched, _ := strconv.ParseInt(m[1], 10, 64) // they are digits; more than fit is the most there is
			fetched, _ := strconv.ParseInt(m[2], 10, 64)
			weight[i] = patched + fetched
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(weight[j], weight[i]) })
	order = order[:planLines-len(totals)-1]
	slices.Sort(order)
	var out []string
	for _, i := range order {
		out = append(out, files[i])
	}
	out = append(out, fmt.Sprintf("and %s more; -v lists all", humanize.Comma(int64(len(files)-len(order)))))
	return append(out, totals...)
}
