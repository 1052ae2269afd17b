// verify compares every copy with the author's folder by an independent hash, and lets the nodes re-read
// themselves.
func (d *demo) verify(ctx context.Context) error {
	for _, name := range append(followers(), "edge-3", newcomer) {
		sum, err := treeHash(d.tree(name))
		if err != nil {
			return err
		}
		d.check(name+" equals the author's folder", sum == d.source, "%s", sum)
		verdict := "equal to the author's folder"
		if sum != d.source {
			verdict = "differs from the author's folder"
		}
		v, err := d.nodes[name].client.Verify(ctx, api.VerifyRequest{Set: d.shared.Set}, nil)
		if err != nil {
			return fmt.Errorf("verify on %s: %w", name, err)
		}
		d.check(name+" verifies", v.Damaged == 0, "%d of %d blocks damaged", v.Damaged, v.Blocks)
		own, err := diskUsage(d.nodes[name].home)
		if err != nil {
			return err
		}
		d.say("[6/6] verify  %s: %s, %s blocks re-read, %s of own state", name, verdict, humanize.Comma(int64(v.Blocks)), humanize.Bytes(uint64(own)))
	}
	for _, name := range append(roster(), newcomer) {
		if name != "origin" {
			d.check(name+" is still running", d.nodes[name].alive(), "%s", d.nodes[name].log)
		}
	}
	return nil
}

