package replica

// Moved is where the content of a revision came from that was brought here, in bytes.
type Moved struct {
	Reused  int64 // it was on this disk
	Patched int64 // made of what was on this disk and of patches
	Fetched int64 // received whole
}

// account tells whoever counts what a get did. What a failed one has fetched lies here, and is what the next one finds.
func (g *get) account(got Got, err error) {
	m := Moved{Patched: got.Patched, Fetched: got.Fetched}
	if err == nil && got.Changed {
		m.Reused = got.Reused()
	}
	if told := g.r.cfg.Moved; told != nil && m != (Moved{}) && !g.o.Plan {
		told(m)
	}
}
