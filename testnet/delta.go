// delta publishes a second revision; whoever follows has it moments later.
func (d *demo) delta(ctx context.Context) error {
	if err := d.change(ctx); err != nil {
		return err
	}
	var err error
	ears := map[string]*ear{}
	for _, name := range followers() {
		if ears[name], err = listen(ctx, d.nodes[name]); err != nil {
			return err
		}
		defer ears[name].close()
	}
	if d.second, err = d.nodes["origin"].client.Publish(ctx, api.PublishRequest{Target: d.authors, Note: d.made.what}, nil); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	published := time.Now()
	results, err := d.each(ctx, followers(), func(ctx context.Context, name string) (api.GetResult, error) {
		return ears[name].complete(ctx, d.shared.Set, d.second.Revision)
	})
	if err != nil {
		return err
	}
	d.say("[4/6] delta   revision %d: %s; published in %.1f s, at both followers %.1f s later", d.second.Revision, d.made.what,
		d.second.Seconds, time.Since(published).Seconds())
	var sent int64
	for _, r := range results {
		sent = max(sent, r.WireIn+r.WireOut)
	}
	for _, line := range picture(d.second.Bytes, d.made.bytes, sent) {
		d.say("        %s", line)
	}
	for i, r := range results {
		d.checkDelta(followers()[i], r)
	}
	return nil
}

// change makes the second revision in the author's folder.
func (d *demo) change(ctx context.Context) (err error) {
	if d.toolchain {
		if d.made, err = updateVendored(ctx, d.authors); err != nil {
			return err
		}
	}
	if d.made.bytes == 0 { // no such modules on this machine, or none newer
		if d.made, err = edit(d.authors); err != nil {
			return err
		}
	}
	d.source, err = treeHash(d.authors)
	return err
}

// formalities are the bytes of an update that do not depend on what changed: the records, the changed nodes
// of the DAG, announcements.
const formalities = 20 << 10

// checkDelta holds what a node received for the second revision against what changed.
func (d *demo) checkDelta(name string, r api.GetResult) {
	sent := r.WireIn + r.WireOut
	d.check(name+" has the author's second root", r.Root == d.second.Root, "%s", r.Root)
	d.check(name+" was sent less than half of the changed files", sent < d.made.bytes/2+formalities, "%d of %d bytes", sent, d.made.bytes)
	sum, err := treeHash(d.tree(name))
	d.check(name+" equals the author's second revision", err == nil && sum == d.source, "%s %v", sum, err)
}

// picture draws sizes to one scale.
func picture(whole, changed, sent int64) []string {
	draw := func(name string, n int64) string {
		return fmt.Sprintf("%-13s %8s  %s", name, humanize.Bytes(uint64(n)), bar(n, whole))
	}
	return []string{draw("whole set", whole), draw("changed files", changed),
		fmt.Sprintf("%s  ← %.2f %%", draw("sent", sent), 100*float64(sent)/float64(max(whole, 1)))}
}

// barWidth is the picture's width in characters; each has eight steps.
const barWidth = 32

// bar is a line as long as n is of whole; what is not nothing is seen.
func bar(n, whole int64) string {
	steps := int(n * barWidth * 8 / max(whole, 1))
	if n > 0 {
		steps = max(steps, 1)
	}
	steps = min(steps, barWidth*8)
	line := strings.Repeat("█", steps/8)
	if rest := steps % 8; rest > 0 {
		line += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return line
}

