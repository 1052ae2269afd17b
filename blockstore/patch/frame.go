package patch

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A zstd frame travels without its header (RFC 8878, section 3.1.1.1): its blocks only. The receiver, who
// knows the size of the content, puts one in front that says single segment, content size in four bytes, no
// checksum, no dictionary id. That saves 6 to 9 bytes a patch and takes window, checksum and content size out
// of the hands of the sender.

// decodeSlack is room behind the content that lets the decoder copy in words of 16 bytes.
const decodeSlack = 16

// appendHeader puts the header of a frame with size bytes of content behind dst: magic, descriptor, size.
func appendHeader(dst []byte, size int) []byte {
	const singleSegment, size4 = 1 << 5, 2 << 6
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd, singleSegment|size4)
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// newEncoder makes an encoder whose window holds span bytes.
func newEncoder(level zstd.EncoderLevel, span int) (*zstd.Encoder, error) {
	window := max(zstd.MinWindowSize, 1<<bits.Len(uint(span-1))) // the next power of two
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(level),
		zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1), // no goroutine
		zstd.WithEncoderCRC(false),     // the CID is the checksum
		zstd.WithLowerEncoderMem(true), // a history of one window instead of two
	)
}

func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
}

// sink collects a stream.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// deflateDict appends data as blocks that refer to base. It uses the encoder as a stream, because to change
// the dictionary is to reset the stream: EncodeAll would index the base a second time in an encoder of its own.
func (c *Codec) deflateDict(dst, base, data []byte) ([]byte, error) {
	out := sink{dst}
	if err := c.dict.ResetWithOptions(&out, zstd.WithEncoderDictRaw(0, base)); err != nil {
		return dst, err
	}
	if _, err := c.dict.Write(data); err != nil {
		return dst, err
	}
	if err := c.dict.Close(); err != nil {
		return dst, err
	}
	frame := out.b
	out.b = nil // the encoder keeps the sink until its next stream
	return cutHeader(frame, len(dst))
}

// deflate appends data as blocks.
func (c *Codec) deflate(dst, data []byte) ([]byte, error) {
	return cutHeader(c.plain.EncodeAll(data, dst), len(dst))
}

// cutHeader takes the header out of the frame that begins at b[at:].
func cutHeader(b []byte, at int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(b[at:]); err != nil {
		return b[:at], err
	}
	return slices.Delete(b, at, at+h.HeaderSize), nil
}

// inflate appends the size bytes that the blocks of body make, with base as dictionary unless it is empty.
func (c *Codec) inflate(dst, base, body []byte, size int) ([]byte, error) {
	if size == 0 || len(body) == 0 {
		return dst, fmt.Errorf("%w: an empty frame", ErrPatch) // encoders send Raw
	}
	// MaxMemory bounds what further frames behind ours could add. A decoder refuses windows above it, and
	// the smallest window there is has MinWindowSize.
	opts := []zstd.DOption{zstd.WithDecoderMaxMemory(uint64(max(size, zstd.MinWindowSize)))}
	if len(base) > 0 {
		opts = append(opts, zstd.WithDecoderDictRaw(0, base))
	}
	if err := c.dec.ResetWithOptions(nil, opts...); err != nil {
		return dst, err
	}
	c.scratch = append(appendHeader(c.scratch[:0], size), body...)
	// The result starts at length 0 and not behind dst: the decoder counts what lies before as output.
	dst = slices.Grow(dst, size+decodeSlack)
	out, err := c.dec.DecodeAll(c.scratch, dst[len(dst):])
	if dropped := c.dec.ResetWithOptions(nil, zstd.WithDecoderDictDelete()); dropped != nil { // do not pin the base
		return dst, dropped
	}
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrPatch, err)
	}
	if len(out) != size {
		return dst, fmt.Errorf("%w: %d bytes for %d", ErrPatch, len(out), size)
	}
	return append(dst, out...), nil // onto itself, unless the decoder moved it
}

// The sample that decides whether bytes are worth compressing: four pieces of 1 KiB, spread, so that neither a
// header nor one odd place decides. A sixteenth saved is the least that pays for the time.
const (
	samplePieces = 4
	samplePiece  = 1 << 10
)

// pays tells whether compressing data is worth the time.
func (c *Codec) pays(data []byte) bool {
	if len(data) <= samplePieces*samplePiece {
		return len(data) > 0 // as cheap to try as to sample
	}
	c.scratch = c.scratch[:0]
	for i := range samplePieces {
		at := (len(data) - samplePiece) * i / (samplePieces - 1)
		c.scratch = append(c.scratch, data[at:at+samplePiece]...)
	}
	n := len(c.scratch)
	c.scratch = c.plain.EncodeAll(c.scratch[:n], c.scratch)
	return len(c.scratch)-n < n-n/16
}
