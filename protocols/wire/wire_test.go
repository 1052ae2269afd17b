package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

func frame(t testing.TB, m proto.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteMsg(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 5).Draw(t, "values")
		if rapid.Bool().Draw(t, "long") {
			values = append(values, make([]byte, MaxControl+rapid.IntRange(0, 100000).Draw(t, "more")))
		}
		var b []byte
		var err error
		for _, v := range values {
			if b, err = Append(b, wrapperspb.Bytes(v)); err != nil {
				t.Fatal(err)
			}
		}
		r := bufio.NewReader(bytes.NewReader(b))
		for _, v := range values {
			var m wrapperspb.BytesValue
			if err := ReadMsg(r, &m, 1<<20); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.Value, v) {
				t.Fatalf("got %d bytes, want %d", len(m.Value), len(v))
			}
		}
		if err := ReadMsg(r, &wrapperspb.BytesValue{}, 1<<20); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last frame: %v, want EOF", err)
		}
	})
}

// One Write a frame: on a stream each is a packet.
func TestWriteMsgIsOneWrite(t *testing.T) {
	var w countingWriter
	if err := WriteMsg(&w, wrapperspb.String("x")); err != nil {
		t.Fatal(err)
	}
	if w != 1 {
		t.Errorf("%d writes, want 1", w)
	}
}

type countingWriter int

func (w *countingWriter) Write(b []byte) (int, error) { *w++; return len(b), nil }

func TestReadMsgRefuses(t *testing.T) {
	good := frame(t, wrapperspb.String("hello"))
	tests := map[string]struct {
		in   []byte
		max  int
		want error
	}{
		"nothing":              {nil, 100, io.EOF},
		"cut in the length":    {[]byte{0x80}, 100, io.ErrUnexpectedEOF},
		"cut before the body":  {good[:1], 100, io.ErrUnexpectedEOF},
		"cut in the body":      {good[:len(good)-1], 100, io.ErrUnexpectedEOF},
		"cut in a long body":   {append(binary.AppendUvarint(nil, 1<<20), 1, 2, 3), 1 << 21, io.ErrUnexpectedEOF},
		"one over the cap":     {good, len(good) - 2, ErrTooLarge},
		"2^63":                 {binary.AppendUvarint(nil, 1<<63), 1 << 30, ErrTooLarge},
		"2^64-1":               {binary.AppendUvarint(nil, 1<<64-1), 1 << 30, ErrTooLarge},
		"endless length":       {bytes.Repeat([]byte{0x80}, 20), 1 << 30, ErrTooLarge},
		"endless large length": {bytes.Repeat([]byte{0xff}, 20), 1 << 30, ErrTooLarge},
		"longer form of 0":     {[]byte{0x80, 0x00}, 100, ErrMalformed},
		"longer form of 7":     {append([]byte{0x87, 0x00}, good[1:]...), 100, ErrMalformed},
		"not a message":        {[]byte{2, 0xff, 0xff}, 100, ErrMalformed},
		"not UTF-8":            {[]byte{3, 0x0a, 1, 0xff}, 100, ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var m wrapperspb.StringValue
			if err := ReadMsg(bufio.NewReader(bytes.NewReader(test.in)), &m, test.max); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	var m wrapperspb.StringValue
	if err := ReadMsg(bufio.NewReader(bytes.NewReader(good)), &m, len(good)-1); err != nil || m.Value != "hello" {
		t.Errorf("exactly at the cap: %q, %v", m.Value, err)
	}
}

// A frame that announces much and brings little must not cost what it announces.
func TestMemoryGrowsWithWhatArrives(t *testing.T) {
	in := append(binary.AppendUvarint(nil, 1<<30), make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 16 {
		if err := ReadMsg(bufio.NewReader(bytes.NewReader(in)), &wrapperspb.BytesValue{}, 1<<31-1); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("16 lying frames allocated %d bytes", n)
	}
}

func TestCodesKeepTheirNumbers(t *testing.T) {
	for code, want := range map[Code]string{0: "ok", 1: "not found", 2: "corrupt", 3: "busy", 4: "bad request", 5: "internal error", 6: "no base", 99: "code 99"} {
		if got := code.String(); got != want {
			t.Errorf("code %d is %q, want %q", code, got, want)
		}
	}
}

func FuzzReadMsg(f *testing.F) {
	f.Add(frame(f, wrapperspb.Bytes([]byte("abc"))))
	f.Add(binary.AppendUvarint(nil, 1<<63))
	f.Add([]byte{0x80, 0x00})
	f.Fuzz(func(t *testing.T, in []byte) {
		const most = 1 << 10
		r := bufio.NewReader(bytes.NewReader(in))
		var m wrapperspb.BytesValue
		if err := ReadMsg(r, &m, most); err != nil {
			return
		}
		if len(m.Value) > most {
			t.Fatalf("%d bytes came through a cap of %d", len(m.Value), most)
		}
		n, k := binary.Uvarint(in)
		if used := len(in) - r.Buffered(); k <= 0 || len(in) <= 4096 && used != k+int(n) {
			t.Fatalf("frame of %d bytes used %d", n, used)
		}
	})
}

// lost reads like a stream of a connection that broke.
type lost struct{}

func (lost) ReadByte() (byte, error) { return 0, fmt.Errorf("connection closed: %w", io.EOF) }

func TestALostConnectionIsNoEnd(t *testing.T) {
	if _, err := ReadLen(lost{}, 10); errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}
