package patch

// finder finds the blocks of a signature in a target, as A. Tridgell's rsync does ("Efficient Algorithms for
// Sorting and Synchronization", 1999, chapter 3): the rolling hash at every offset, the strong one where the
// rolling one is known. It is reused, so that its tables are allocated once.
type finder struct {
	// filter has a bit for each rolling hash, by its mixed upper 16 bits: 8 KiB that stay in the nearest
	// cache, where the maps do not. Of 128 entries it lets 0.2 % of the offsets pass, of 4,096 6 %.
	filter  [1 << 10]uint64
	rolling map[uint32]struct{}
	first   map[Entry]int // the first block with these hashes
	// vain is how many bytes may still be hashed for nothing. Chance asks for one block in a hundred leaves;
	// a signature made to match every offset of a target would ask for gigabytes.
	vain int
}

// slot is the bit of a rolling hash: word and mask. The multiplier is 2^32 divided by the golden ratio, which
// spreads hashes that differ in few bits (D. Knuth, vol. 3, section 6.4).
func slot(h uint32) (word uint32, mask uint64) {
	bit := (h * 2654435769) >> 16
	return bit >> 6, 1 << (bit & 63)
}

// load takes the whole blocks of a signature.
func (f *finder) load(sig Signature) {
	if f.rolling == nil {
		f.rolling, f.first = make(map[uint32]struct{}), make(map[Entry]int)
	}
	clear(f.filter[:])
	clear(f.rolling)
	clear(f.first)
	for i, e := range sig.Entries[:sig.Size/sig.BlockSize] {
		word, mask := slot(e.Rolling)
		f.filter[word] |= mask
		f.rolling[e.Rolling] = struct{}{}
		if _, ok := f.first[e]; !ok {
			f.first[e] = i
		}
	}
}

// matches appends the ops that make target. A block of the target that several blocks of the base equal is
// copied from the one behind the last copy, so that runs stay runs; else from the first.
func (f *finder) matches(ops []op, sig Signature, target []byte) []op {
	f.load(sig)
	f.vain = len(target)
	size := sig.BlockSize
	first := power(size - 1)
	done, next := 0, -1 // bytes of the target that ops cover; the block behind the last one copied
	h := rolling(target[:min(size, len(target))])
	for at := 0; at+size <= len(target); {
		if i, ok := f.lookup(sig, h, target[at:at+size], next); ok {
			ops = appendOp(ops, op{literal: at - done, off: i * size, n: size})
			at += size
			done, next = at, i+1
			h = rolling(target[at:min(at+size, len(target))])
			continue
		}
		if at+size == len(target) {
			break
		}
		h = (h-uint32(target[at])*first)*mul + uint32(target[at+size])
		at++
	}
	return f.tail(ops, sig, target, done)
}

// lookup finds a whole block of the base that equals block, whose rolling hash is h.
func (f *finder) lookup(sig Signature, h uint32, block []byte, next int) (int, bool) {
	if word, mask := slot(h); f.filter[word]&mask == 0 {
		return 0, false
	}
	if _, ok := f.rolling[h]; !ok || f.vain < len(block) {
		return 0, false
	}
	e := Entry{h, strong(block)}
	if next >= 0 && next < sig.Size/sig.BlockSize && sig.Entries[next] == e {
		return next, true
	}
	i, ok := f.first[e]
	if !ok {
		f.vain -= len(block)
	}
	return i, ok
}

// tail looks for the short block at the end of the base at the end of the target, the only place where it is
// likely to be.
func (f *finder) tail(ops []op, sig Signature, target []byte, done int) []op {
	n := sig.Size % sig.BlockSize
	at := len(target) - n
	if n == 0 || at < done {
		return ops
	}
	e := Entry{Rolling: rolling(target[at:]), Strong: strong(target[at:])}
	if e != sig.Entries[len(sig.Entries)-1] {
		return ops
	}
	return appendOp(ops, op{literal: at - done, off: sig.Size - n, n: n})
}

// appendOp appends o, or lengthens the last op if o goes on where that ends.
func appendOp(ops []op, o op) []op {
	if len(ops) > 0 && o.literal == 0 {
		if last := &ops[len(ops)-1]; last.off+last.n == o.off {
			last.n += o.n
			return ops
		}
	}
	return append(ops, o)
}
