// Package wire is how messages look on a stream: a length, then a protobuf message, never more than a
// cap that the reader names; and the codes with which a peer says how a request went.
//
// A frame is the length of the message in bytes as an unsigned varint in its shortest form, followed
// by the message. The cap is checked before anything is allocated, and memory for a long frame grows
// only with the bytes that really arrive. Deadlines are the business of whoever owns the stream.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// MaxControl is the cap, in bytes, for every message that has no reason to be longer: requests,
// greetings, answers without content.
const MaxControl = 64 << 10

// Errors of a frame. They are returned wrapped; test with errors.Is.
var (
	// ErrTooLarge: the frame announces more bytes than its reader allows.
	ErrTooLarge = errors.New("frame is too large")
	// ErrMalformed: the length is not a shortest-form varint, or the bytes are not the message.
	ErrMalformed = errors.New("frame is malformed")
)

// Reader is what frames are read from; a bufio.Reader around a stream is one.
type Reader interface {
	io.Reader
	io.ByteReader
}

// Append appends the frame of m to b, so that several frames, or a frame and what follows it, can go
// out in one Write.
func Append(b []byte, m proto.Message) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(proto.Size(m)))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return b, nil
}

// WriteMsg writes the frame of m in one Write.
func WriteMsg(w io.Writer, m proto.Message) error {
	b, err := Append(nil, m)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// ReadMsg reads one frame of at most max bytes into m. Errors: io.EOF if the stream ended before the
// frame began, io.ErrUnexpectedEOF if it ended within, ErrTooLarge, ErrMalformed.
func ReadMsg(r Reader, m proto.Message, max int) error {
	n, err := ReadLen(r, max)
	if err != nil {
		return err
	}
	return ReadBody(r, m, n)
}

// ReadLen reads the length of a frame, at most max. A reader that must account for its memory reserves
// what it needs between ReadLen and ReadBody. Errors as ReadMsg.
func ReadLen(r io.ByteReader, max int) (int, error) {
	var n uint64
	for shift := 0; ; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			if shift > 0 || !Ended(err) {
				err = unexpected(err)
			}
			return 0, fmt.Errorf("read frame length: %w", err)
		}
		if b == 0 && shift > 0 {
			return 0, fmt.Errorf("read frame length: %w: not the shortest form", ErrMalformed)
		}
		n |= uint64(b&0x7f) << shift
		// Checked at each byte, so n never grows past max and shift never past the bits of an int.
		if n > uint64(max) {
			return 0, fmt.Errorf("read frame length: %w: more than %d bytes", ErrTooLarge, max)
		}
		if b < 0x80 {
			return int(n), nil
		}
		// Five bytes carry 35 bits, more than any cap: a continuation there can only add zeros or
		// exceed the cap.
		if shift >= 28 {
			return 0, fmt.Errorf("read frame length: %w: more than %d bytes", ErrTooLarge, max)
		}
	}
}

// ReadBody reads the n bytes that ReadLen announced and decodes them into m.
func ReadBody(r io.Reader, m proto.Message, n int) error {
	b, err := readN(r, n)
	if err != nil {
		return fmt.Errorf("read frame: %w", err)
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("read frame: %w: %v", ErrMalformed, err)
	}
	return nil
}

// Ended tells whether a read failed because the other side has ended the stream. The error of a connection that was
// lost wraps io.EOF as well, from what the connection itself was read from: that is no end.
func Ended(err error) bool { return err == io.EOF }

// readN reads exactly n bytes. A sender that announces much and sends little costs at most MaxControl
// bytes, or twice what it sent.
func readN(r io.Reader, n int) ([]byte, error) {
	if n <= MaxControl {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, unexpected(err)
		}
		return b, nil
	}
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return nil, unexpected(err)
	}
	return buf.Bytes(), nil
}

// unexpected makes an end inside a frame distinguishable from an end between two.
func unexpected(err error) error {
	if Ended(err) {
		return io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %v", io.ErrUnexpectedEOF, err)
	}
	return err
}
