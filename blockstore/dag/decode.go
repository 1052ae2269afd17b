package dag

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Decode reads a node. It is strict: a block that is not the one encoding of what it says, or that says
// what this package never builds, is ErrMalformed. A leaf is not a node. Memory is bounded by a small
// multiple of the block; the result shares none of the block's bytes.
//
// What one block cannot show, that the sizes it claims for its children are theirs, ReadLayout checks.
func Decode(b blockstore.Block) (Node, error) {
	if b.Cid().Type() != cid.DagProtobuf {
		return Node{}, fmt.Errorf("decode %s: %w: not dag-pb", b.Cid(), ErrMalformed)
	}
	n, err := decode(b.Data())
	if err != nil {
		return Node{}, fmt.Errorf("decode %s: %w: %w", b.Cid(), ErrMalformed, err)
	}
	return n, nil
}

// decode parses leniently, checks what the fields say, and at the end that they were encoded as we do:
// order, minimal varints, repeated or unknown fields, bitfield, hash function and fan-out.
func decode(b []byte) (Node, error) {
	var n Node
	var data []byte
	for rest := b; len(rest) > 0; {
		f, err := nextField(&rest)
		if err != nil {
			return n, err
		}
		switch f.num {
		case nodeLinks:
			l, err := decodeLink(f.bytes)
			if err != nil {
				return n, fmt.Errorf("link %d: %w", len(n.Links), err)
			}
			n.Links = append(n.Links, l)
		case nodeData:
			data = f.bytes
		}
	}
	if err := n.decodeData(data); err != nil {
		return n, err
	}
	if err := n.check(); err != nil {
		return n, err
	}
	if !bytes.Equal(n.encode(), b) {
		return n, fmt.Errorf("not in canonical form")
	}
	return n, nil
}

// field is one field of a protobuf message; a varint or fixed32 is in v, else the payload in bytes.
type field struct {
	num   protowire.Number
	v     uint64
	bytes []byte
}

// nextField takes the first field off b.
func nextField(b *[]byte) (f field, err error) {
	num, typ, n := protowire.ConsumeTag(*b)
	if n < 0 {
		return f, protowire.ParseError(n)
	}
	f.num, *b = num, (*b)[n:]
	switch typ {
	case protowire.VarintType:
		f.v, n = protowire.ConsumeVarint(*b)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(*b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(*b)
		f.v = uint64(v)
	default:
		return f, fmt.Errorf("field %d has wire type %d", num, typ)
	}
	if n < 0 {
		return f, protowire.ParseError(n)
	}
	*b = (*b)[n:]
	return f, nil
}

// decodeLink reads a link; Name still has the prefix of a shard's slot, Size is unknown.
func decodeLink(b []byte) (l Link, err error) {
	for len(b) > 0 {
		f, err := nextField(&b)
		if err != nil {
			return l, err
		}
		switch f.num {
		case linkHash:
			if l.Cid, err = cid.Cast(f.bytes); err != nil {
				return l, err
			}
		case linkName:
			l.Name = string(f.bytes)
		case linkTsize:
			l.Tsize = f.v
		}
	}
	return l, blockstore.CheckCid(l.Cid)
}

// decodeData reads the UnixFS message, after the links.
func (n *Node) decodeData(b []byte) error {
	sizes := 0
	for len(b) > 0 {
		f, err := nextField(&b)
		if err != nil {
			return err
		}
		switch f.num {
		case dataType:
			switch f.v {
			case typeFile:
				n.Kind = KindFile
			case typeDir, typeShard:
				n.Kind, n.Shard = KindDir, f.v == typeShard
			case typeSymlink:
				n.Kind = KindSymlink
			default:
				return fmt.Errorf("UnixFS type %d", f.v)
			}
		case dataData: // a shard's bitfield follows from its slots
			if n.Kind == KindSymlink {
				n.Target = string(f.bytes)
			}
		case dataFilesize:
			n.Size = f.v
		case dataBlocksizes:
			if sizes == len(n.Links) {
				return fmt.Errorf("more block sizes than links")
			}
			n.Links[sizes].Size = f.v
			sizes++
		case dataModeNo:
			if f.v > modeBits {
				return fmt.Errorf("mode %o", f.v)
			}
			n.HasMode, n.Attr.Mode = true, uint32(f.v)
		case dataMtimeNo:
			if err := n.decodeMtime(f.bytes); err != nil {
				return err
			}
		}
	}
	if n.Kind == KindFile && sizes != len(n.Links) {
		return fmt.Errorf("%d block sizes for %d links", sizes, len(n.Links))
	}
	return nil
}

func (n *Node) decodeMtime(b []byte) error {
	var seconds int64
	var nanos uint64
	for len(b) > 0 {
		f, err := nextField(&b)
		if err != nil {
			return err
		}
		switch f.num {
		case mtimeSeconds:
			seconds = int64(f.v)
		case mtimeNanos:
			nanos = f.v
		}
	}
	if seconds < minSeconds || seconds > maxSeconds || nanos > 999_999_999 {
		return fmt.Errorf("mtime %d s %d ns", seconds, nanos)
	}
	n.Attr.Mtime = time.Unix(seconds, int64(nanos)).UTC()
	return nil
}

// check holds the rules of each kind, and completes Attr, Slots and the sizes that follow from others.
func (n *Node) check() error {
	def := defaultMode(n.Kind)
	switch {
	case n.HasMode && (n.Kind == KindSymlink || n.Attr.Mode == def):
		return fmt.Errorf("mode %o should be absent", n.Attr.Mode)
	case !n.HasMode:
		n.Attr.Mode = def
	}
	if n.Kind != KindFile && !n.Attr.Mtime.IsZero() {
		return fmt.Errorf("mtime on what is not a file")
	}
	switch {
	case n.Kind == KindFile:
		return n.checkFile()
	case n.Shard:
		return n.checkShard()
	case n.Kind == KindDir:
		return n.checkDir()
	case n.Kind == KindSymlink:
		if len(n.Links) > 0 {
			return fmt.Errorf("symlink with links")
		}
		return checkTarget(n.Target)
	default:
		return fmt.Errorf("no UnixFS type")
	}
}

func (n *Node) checkFile() error {
	var sum uint64
	for i := range n.Links {
		l := &n.Links[i]
		switch {
		case l.Name != "":
			return fmt.Errorf("file link %d has a name", i)
		case l.Size == 0 || l.Size > math.MaxInt64-sum:
			return fmt.Errorf("file link %d has size %d", i, l.Size)
		case l.Cid.Type() == cid.Raw && (l.Tsize != l.Size || l.Size > blockstore.MaxBlockSize):
			return fmt.Errorf("leaf %d has size %d, Tsize %d", i, l.Size, l.Tsize)
		case l.Cid.Type() != cid.Raw && len(n.Links) == 1:
			return fmt.Errorf("the only child of a file is a node")
		}
		sum += l.Size
	}
	if sum != n.Size {
		return fmt.Errorf("file of %d bytes has children of %d", n.Size, sum)
	}
	return n.checkTsizes()
}

func (n *Node) checkDir() error {
	for i := range n.Links {
		if err := n.checkEntry(&n.Links[i]); err != nil {
			return err
		}
		if i > 0 && n.Links[i].Name <= n.Links[i-1].Name {
			return fmt.Errorf("entry %q after %q", n.Links[i].Name, n.Links[i-1].Name)
		}
	}
	return n.checkTsizes()
}

func (n *Node) checkShard() error {
	if len(n.Links) == 0 || len(n.Links) > fanout {
		return fmt.Errorf("shard with %d links", len(n.Links))
	}
	n.Slots = make([]byte, len(n.Links))
	for i := range n.Links {
		l := &n.Links[i]
		slot, ok := parseSlot(l.Name)
		if !ok || (i > 0 && slot <= n.Slots[i-1]) {
			return fmt.Errorf("shard link %d is named %.4q", i, l.Name)
		}
		n.Slots[i], l.Name = slot, l.Name[prefixLen:]
		if l.Name == "" && l.Cid.Type() == cid.Raw {
			return fmt.Errorf("shard link %d to a leaf has no name", i)
		}
		if l.Name == "" {
			continue
		}
		if err := n.checkEntry(l); err != nil {
			return err
		}
	}
	return n.checkTsizes()
}

// checkEntry checks one entry of a folder. Of a leaf, which is a file of one chunk, the size is known.
func (n *Node) checkEntry(l *Link) error {
	if err := CheckName(l.Name); err != nil {
		return err
	}
	if l.Cid.Type() == cid.Raw {
		if l.Tsize == 0 || l.Tsize > blockstore.MaxBlockSize {
			return fmt.Errorf("leaf %q has Tsize %d", l.Name, l.Tsize)
		}
		l.Size = l.Tsize
	}
	return nil
}

// checkTsizes refuses a sum that overflows, with room for this node and some parents.
func (n *Node) checkTsizes() error {
	var sum uint64
	for i := range n.Links {
		if n.Links[i].Tsize > math.MaxInt64-sum {
			return fmt.Errorf("sum of Tsizes overflows")
		}
		sum += n.Links[i].Tsize
	}
	return nil
}

// parseSlot reads the two upper-case hexadecimal digits before a name.
func parseSlot(name string) (slot byte, ok bool) {
	if len(name) < prefixLen {
		return 0, false
	}
	for _, c := range []byte(name[:prefixLen]) {
		switch {
		case '0' <= c && c <= '9':
			slot = slot<<4 | (c - '0')
		case 'A' <= c && c <= 'F':
			slot = slot<<4 | (c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return slot, true
}
