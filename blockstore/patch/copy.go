package patch

import (
	"encoding/binary"
	"fmt"
)

// op is one step of a Copy: take literal bytes, then n bytes of the base from off on. n is at least 1. What
// the target has behind the last op is literal.
type op struct{ literal, off, n int }

// appendOps appends the number of ops and the ops. An offset is written as its distance from where the base
// would go on had the literals replaced as many bytes: 0 for an overwrite.
func appendOps(dst []byte, ops []op) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ops)))
	next := 0
	for _, o := range ops {
		dst = binary.AppendUvarint(dst, uint64(o.literal))
		dst = binary.AppendVarint(dst, int64(o.off-next-o.literal))
		dst = binary.AppendUvarint(dst, uint64(o.n))
		next = o.off + o.n
	}
	return dst
}

// opReader reads ops one by one, so that a hostile list costs no memory.
type opReader struct {
	rest []byte
	next int // where the base goes on
	base int // bytes of the base
	size int // bytes of the target not yet made
}

// read reads one op and checks that base and target have what it names.
func (r *opReader) read() (o op, err error) {
	if o.literal, r.rest, err = readUvarint(r.rest, r.size); err != nil {
		return op{}, err
	}
	delta, n := binary.Varint(r.rest)
	if n <= 0 || delta < int64(-r.base-r.size) || delta > int64(r.base) {
		return op{}, fmt.Errorf("%w: offset", ErrPatch)
	}
	if o.n, r.rest, err = readUvarint(r.rest[n:], r.size-o.literal); err != nil {
		return op{}, err
	}
	o.off = r.next + o.literal + int(delta)
	if o.n < 1 || o.off < 0 || o.off > r.base-o.n {
		return op{}, fmt.Errorf("%w: copy of %d bytes at %d of %d", ErrPatch, o.n, o.off, r.base)
	}
	r.next = o.off + o.n
	r.size -= o.literal + o.n
	return o, nil
}

// applyCopy appends the target of a Copy. It reads the ops twice: to check them and count the literals, and
// to follow them.
func (c *Codec) applyCopy(dst, base, body []byte, size int, packed bool) ([]byte, error) {
	count, body, err := readUvarint(body, size) // an op makes at least one byte
	if err != nil {
		return dst, err
	}
	scan := opReader{rest: body, base: len(base), size: size}
	copied := 0
	for range count {
		o, err := scan.read()
		if err != nil {
			return dst, err
		}
		copied += o.n
	}
	lits := scan.rest
	if packed {
		c.lits, err = c.inflate(c.lits[:0], nil, scan.rest, size-copied)
		if lits = c.lits; err != nil {
			return dst, err
		}
	}
	if len(lits) != size-copied {
		return dst, fmt.Errorf("%w: %d literal bytes for %d", ErrPatch, len(lits), size-copied)
	}
	follow := opReader{rest: body, base: len(base), size: size}
	for range count {
		o, err := follow.read()
		if err != nil {
			return dst, err
		}
		dst = append(dst, lits[:o.literal]...)
		dst = append(dst, base[o.off:o.off+o.n]...)
		lits = lits[o.literal:]
	}
	return append(dst, lits...), nil
}

// EncodeSigned encodes target for a receiver that has the base of which sig was made. Where a block of target
// and a different one of the base have the same hashes, the patch makes a wrong target, which the receiver
// notices. A hostile signature costs at most twice the time of an honest one. Errors: ErrLimit, ErrPatch for a
// signature that Sign does not make.
func (c *Codec) EncodeSigned(dst []byte, sig Signature, target []byte) ([]byte, error) {
	if len(target) > c.lim.Target {
		return dst, fmt.Errorf("encode %d bytes: %w", len(target), ErrLimit)
	}
	if err := sig.check(c.lim); err != nil {
		return dst, fmt.Errorf("encode over %w", err)
	}
	if len(sig.Entries) != sig.blocks() {
		return dst, fmt.Errorf("encode over signature: %w: %d entries for %d blocks", ErrPatch, len(sig.Entries), sig.blocks())
	}
	c.ops = c.find.matches(c.ops[:0], sig, target)
	if len(c.ops) == 0 {
		return c.EncodeWhole(dst, target)
	}
	out, err := c.appendCopy(dst, target)
	if err != nil {
		return dst, fmt.Errorf("encode over signature: %w", err)
	}
	if len(out)-len(dst) > len(target) {
		return appendRaw(dst, target), nil
	}
	return out, nil
}

// appendCopy appends the patch of c.ops.
func (c *Codec) appendCopy(dst, target []byte) ([]byte, error) {
	c.lits = c.lits[:0]
	at := 0
	for _, o := range c.ops {
		c.lits = append(c.lits, target[at:at+o.literal]...)
		at += o.literal + o.n
	}
	c.lits = append(c.lits, target[at:]...)
	coding := len(dst)
	out := appendOps(append(dst, byte(Copy)), c.ops)
	if !c.pays(c.lits) {
		return append(out, c.lits...), nil
	}
	ops := len(out)
	out, err := c.deflate(out, c.lits)
	if err != nil {
		return dst, err
	}
	if len(out)-ops >= len(c.lits) {
		return append(out[:ops], c.lits...), nil
	}
	out[coding] = byte(CopyZstd)
	return out, nil
}
