package dag

import (
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Types of UnixFS data that this package makes (unixfs.proto of the IPFS specifications). Raw and
// Metadata, 0 and 3, are obsolete.
const (
	typeDir     = 1
	typeFile    = 2
	typeSymlink = 4
	typeShard   = 5
)

// Field numbers of the dag-pb and UnixFS messages.
const (
	nodeData, nodeLinks           = 1, 2
	linkHash, linkName, linkTsize = 1, 2, 3

	dataType, dataData, dataFilesize, dataBlocksizes  = 1, 2, 3, 4
	dataHashType, dataFanout, dataModeNo, dataMtimeNo = 5, 6, 7, 8

	mtimeSeconds, mtimeNanos = 1, 2
)

// Node is one node, decoded. The zero values of fields that do not belong to its kind are required.
type Node struct {
	Kind    Kind
	Shard   bool   // a folder's HAMT shard; the root shard stands for the whole folder
	HasMode bool   // Attr.Mode is written down; otherwise it is the default of the kind
	Attr    Attr   // Mode is the default where none is written
	Links   []Link // children in order; Name is without the prefix of a shard's slot
	Slots   []byte // of a shard: the slot of each link, ascending
	Size    uint64 // of a file: its bytes
	Target  string // of a symlink
}

// tag is a field's tag as one byte: all field numbers here are below 16.
func tag(field protowire.Number, typ protowire.Type) byte {
	return byte(protowire.EncodeTag(field, typ))
}

// block encodes n and hashes it.
func (n *Node) block() blockstore.Block {
	return blockstore.NewBlock(cid.DagProtobuf, n.encode())
}

// encode gives the canonical dag-pb bytes: links before data, each link with hash, name and Tsize, even
// an empty name. The exact size is reckoned first, so that there is one allocation.
func (n *Node) encode() []byte {
	data := n.dataLen()
	size := 1 + protowire.SizeBytes(data)
	for i := range n.Links {
		size += 1 + protowire.SizeBytes(n.linkLen(i))
	}
	b := make([]byte, 0, size)
	for i := range n.Links {
		b = append(b, tag(nodeLinks, protowire.BytesType))
		b = protowire.AppendVarint(b, uint64(n.linkLen(i)))
		b = n.appendLink(b, i)
	}
	b = append(b, tag(nodeData, protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(data))
	return n.appendData(b)
}

// prefixLen is how many characters a shard puts before a name: two hexadecimal digits for 256 slots.
const prefixLen = 2

func (n *Node) linkLen(i int) int {
	l := &n.Links[i]
	name := len(l.Name)
	if n.Shard {
		name += prefixLen
	}
	return 1 + protowire.SizeBytes(l.Cid.ByteLen()) + 1 + protowire.SizeBytes(name) + 1 + protowire.SizeVarint(l.Tsize)
}

func (n *Node) appendLink(b []byte, i int) []byte {
	l := &n.Links[i]
	b = append(b, tag(linkHash, protowire.BytesType))
	b = protowire.AppendString(b, l.Cid.KeyString())
	b = append(b, tag(linkName, protowire.BytesType))
	if n.Shard {
		b = protowire.AppendVarint(b, uint64(prefixLen+len(l.Name)))
		b = append(b, hexDigits[n.Slots[i]>>4], hexDigits[n.Slots[i]&15])
		b = append(b, l.Name...)
	} else {
		b = protowire.AppendString(b, l.Name)
	}
	b = append(b, tag(linkTsize, protowire.VarintType))
	return protowire.AppendVarint(b, l.Tsize)
}

const hexDigits = "0123456789ABCDEF"

func (n *Node) dataLen() int {
	size := 2 // the type
	switch {
	case n.Shard:
		size += 1 + protowire.SizeBytes(len(bitfield(n.Slots))) +
			1 + protowire.SizeVarint(hashMurmur3) + 1 + protowire.SizeVarint(fanout)
	case n.Kind == KindSymlink:
		size += 1 + protowire.SizeBytes(len(n.Target))
	case n.Kind == KindFile:
		size += 1 + protowire.SizeVarint(n.Size)
		for i := range n.Links {
			size += 1 + protowire.SizeVarint(n.Links[i].Size)
		}
	}
	if n.HasMode {
		size += 1 + protowire.SizeVarint(uint64(n.Attr.Mode))
	}
	if !n.Attr.Mtime.IsZero() {
		size += 1 + protowire.SizeBytes(mtimeLen(n.Attr.Mtime))
	}
	return size
}

// appendData appends the UnixFS message, fields in ascending order, repeated fields not packed.
func (n *Node) appendData(b []byte) []byte {
	b = append(b, tag(dataType, protowire.VarintType), n.unixfsType())
	switch {
	case n.Shard:
		b = append(b, tag(dataData, protowire.BytesType))
		b = protowire.AppendBytes(b, bitfield(n.Slots))
		b = append(b, tag(dataHashType, protowire.VarintType))
		b = protowire.AppendVarint(b, hashMurmur3)
		b = append(b, tag(dataFanout, protowire.VarintType))
		b = protowire.AppendVarint(b, fanout)
	case n.Kind == KindSymlink:
		b = append(b, tag(dataData, protowire.BytesType))
		b = protowire.AppendString(b, n.Target)
	case n.Kind == KindFile:
		b = append(b, tag(dataFilesize, protowire.VarintType))
		b = protowire.AppendVarint(b, n.Size)
		for i := range n.Links {
			b = append(b, tag(dataBlocksizes, protowire.VarintType))
			b = protowire.AppendVarint(b, n.Links[i].Size)
		}
	}
	if n.HasMode {
		b = append(b, tag(dataModeNo, protowire.VarintType))
		b = protowire.AppendVarint(b, uint64(n.Attr.Mode))
	}
	if !n.Attr.Mtime.IsZero() {
		b = append(b, tag(dataMtimeNo, protowire.BytesType))
		b = protowire.AppendVarint(b, uint64(mtimeLen(n.Attr.Mtime)))
		b = appendMtime(b, n.Attr.Mtime)
	}
	return b
}

func (n *Node) unixfsType() byte {
	switch {
	case n.Shard:
		return typeShard
	case n.Kind == KindDir:
		return typeDir
	case n.Kind == KindSymlink:
		return typeSymlink
	default:
		return typeFile
	}
}

// validMtime tells whether a node can carry t: UnixFS allows the years 1 to 9999, and the zero Time
// stands for absent. An mtime outside is left out, not refused: file systems can hold any.
func validMtime(t time.Time) bool {
	return !t.IsZero() && t.Unix() >= minSeconds && t.Unix() <= maxSeconds
}

const (
	minSeconds = -62135596800 // 0001-01-01T00:00:00Z
	maxSeconds = 253402300799 // 9999-12-31T23:59:59Z
)

// mtimeLen is the length of appendMtime's message; nanoseconds are left out when 0.
func mtimeLen(t time.Time) int {
	size := 1 + protowire.SizeVarint(uint64(t.Unix()))
	if t.Nanosecond() != 0 {
		size += 1 + protowire.SizeFixed32()
	}
	return size
}

func appendMtime(b []byte, t time.Time) []byte {
	b = append(b, tag(mtimeSeconds, protowire.VarintType))
	b = protowire.AppendVarint(b, uint64(t.Unix()))
	if ns := t.Nanosecond(); ns != 0 {
		b = append(b, tag(mtimeNanos, protowire.Fixed32Type))
		b = protowire.AppendFixed32(b, uint32(ns))
	}
	return b
}

// link is what n's parent needs; block is n encoded.
func (n *Node) link(name string, block blockstore.Block) Link {
	l := Link{Name: name, Cid: block.Cid(), Tsize: uint64(len(block.Data())), Size: n.Size}
	for i := range n.Links {
		l.Tsize += n.Links[i].Tsize
	}
	if n.Kind == KindDir {
		for i := range n.Links {
			l.Size += n.Links[i].Size
		}
	}
	return l
}

// bitfield is the set of slots as a big-endian number: slot 0 is the lowest bit of the last byte, and
// leading zero bytes are left out.
func bitfield(slots []byte) []byte {
	var bits [fanout / 8]byte
	for _, s := range slots {
		bits[len(bits)-1-int(s/8)] |= 1 << (s % 8)
	}
	first := slices.IndexFunc(bits[:], func(b byte) bool { return b != 0 })
	if first < 0 {
		return nil
	}
	return bits[first:]
}
