//go:build unix

package main

import (
	"context"
	"fmt"
	"math"
)

// plan: what `get --plan` says before an update, beside what the update then took.
func (b *bench) plan(ctx context.Context) error {
	fmt.Printf("%-50s %-14s %11s %11s %7s   %s\n", "", "sender", "estimate", "taken", "off by", "leaf bytes reused + patched + fetched")
	for _, e := range edits(b.size) {
		if err := b.planned(ctx, e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// planned updates one reader from an author who edited in place, and a second from the first.
func (b *bench) planned(ctx context.Context, e edit) error {
	data := b.fresh("data")
	if err := e.make(data); err != nil {
		return err
	}
	if err := age(data); err != nil {
		return err
	}
	author, first, second := b.machine("author"), b.machine("reader"), b.machine("reader")
	if err := author.run(ctx); err != nil {
		return err
	}
	defer author.kill()
	_, shared, err := author.do(ctx, "share", data)
	if err != nil {
		return err
	}
	for _, m := range []*machine{first, second} {
		if _, _, err := m.get(ctx, shared.Set, []*machine{author}); err != nil {
			return err
		}
	}
	if _, err := e.change(data, 0); err != nil {
		return err
	}
	if _, _, err := author.do(ctx, "publish", data); err != nil {
		return err
	}
	if err := e.planAndGet(ctx, "edited in place", shared.Set, first, author); err != nil {
		return err
	}
	author.kill()
	defer first.kill()
	if err := first.run(ctx); err != nil {
		return err
	}
	if err := e.planAndGet(ctx, "has the old", shared.Set, second, first); err != nil {
		return err
	}
	return same(ctx, data, first.dest, second.dest)
}

// planAndGet prints one line: the bytes a plan foretold and those that the same get then took.
func (e edit) planAndGet(ctx context.Context, sender, set string, reader, source *machine) error {
	_, plan, err := reader.get(ctx, set, []*machine{source}, "--plan")
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	_, got, err := reader.get(ctx, set, []*machine{source})
	if err != nil {
		return err
	}
	took := got.WireIn + got.WireOut
	off, mark := 100*float64(plan.WireEstimate-took)/float64(took), ""
	if math.Abs(off) > 20 { // the bar
		mark = "!"
	}
	leaves := fmt.Sprintf("%s + %s + %s, as planned", bytesOf(got.BytesReused), bytesOf(got.BytesPatched), bytesOf(got.BytesFetched))
	if plan.BytesReused != got.BytesReused || plan.BytesPatched != got.BytesPatched || plan.BytesFetched != got.BytesFetched {
		leaves = fmt.Sprintf("planned %s + %s + %s, done %s + %s + %s !", bytesOf(plan.BytesReused), bytesOf(plan.BytesPatched), bytesOf(plan.BytesFetched),
			bytesOf(got.BytesReused), bytesOf(got.BytesPatched), bytesOf(got.BytesFetched))
	}
	fmt.Printf("%-50s %-15s %10s %11s %+5.0f %%%-1s  %s\n", e.name, sender, bytesOf(plan.WireEstimate), bytesOf(took), off, mark, leaves)
	return nil
}
