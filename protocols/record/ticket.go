package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Parts and limits of a ticket.
const (
	ticketPrefix = "shoal1"
	checksumSize = 4 // bytes: a typo passes once in 4 billion
	// maxTicketText is the most characters of a ticket: sixteen peers with sixteen addresses of usual
	// length (30 bytes) and a capability of 1 KiB make 15,000.
	maxTicketText = 32 << 10
	// MaxTicketPeers is the most peers in a ticket: one answers, the others are spares.
	MaxTicketPeers = 16
	// MaxCapability is the most bytes of a capability: a signed record of a few fields.
	MaxCapability = 4 << 10
)

// ErrBadTicket: the text is neither a ticket nor a set id. The message says what is wrong with it.
var ErrBadTicket = errors.New("bad ticket")

// Ticket is the text that lets another machine find and verify a set. Only Set is trusted: everything
// else is a hint.
type Ticket struct {
	Set   cid.Cid
	Name  string          // "" or a name that passes CheckName
	Addrs []peer.AddrInfo // peers that may hold it
	Cap   []byte          // capability to read a private set
}

// ticketEncoding is lower-case base32 without padding: safe in shells, URLs and speech.
func ticketEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// String is the ticket as text. Hints that break a limit are left out; without a valid Set it is "".
func (t Ticket) String() string {
	if blockstore.CheckCid(t.Set) != nil || t.Set.Prefix().Codec != cid.Raw {
		return ""
	}
	digest := blockstore.Digest(t.Set)
	m := &recordpb.Ticket{Set: digest[:], Name: t.Name, Peers: EncodePeers(t.Addrs, MaxTicketPeers), Capability: t.Cap}
	if CheckName(t.Name) != nil {
		m.Name = ""
	}
	if len(t.Cap) > MaxCapability {
		m.Capability = nil
	}
	for {
		b, err := encode(m)
		if err != nil {
			return ""
		}
		text := ticketPrefix + ticketEncoding().EncodeToString(append(b, checksum(b)...))
		if len(text) <= maxTicketText || len(m.Peers) == 0 {
			return text
		}
		m.Peers = m.Peers[:len(m.Peers)-1] // unusually long addresses: the last peers are the spares
	}
}

// checksum is over the prefix too, so that another version's ticket never passes.
func checksum(b []byte) []byte {
	h := sha256.Sum256(append([]byte(ticketPrefix), b...))
	return h[:checksumSize]
}

// ParseTicket reads a ticket, or a bare set id, which is a ticket with only Set. White space around it
// and upper case (as in QR codes) do not matter. Errors: ErrBadTicket.
func ParseTicket(s string) (Ticket, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return Ticket{}, badTicket("it is empty")
	case len(s) > maxTicketText:
		return Ticket{}, badTicket("it has %d characters, at most %d", len(s), maxTicketText)
	}
	low := strings.ToLower(s)
	if !strings.HasPrefix(low, "shoal") {
		return parseSetID(s)
	}
	body, ok := strings.CutPrefix(low, ticketPrefix)
	if !ok {
		return Ticket{}, badTicket("it begins %q, this version reads %q: a newer one may be needed",
			low[:min(len(low), len(ticketPrefix))], ticketPrefix)
	}
	return parseTicketBody(body)
}

func parseTicketBody(body string) (Ticket, error) {
	raw, err := ticketEncoding().DecodeString(body)
	var at base32.CorruptInputError
	switch {
	case errors.As(err, &at) && int(at) < len(body) && !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz234567", rune(body[at])):
		return Ticket{}, badTicket("character %d, %q, does not belong in a ticket", len(ticketPrefix)+int(at)+1, body[at])
	case err != nil || len(raw) <= checksumSize:
		return Ticket{}, badTicket("it is cut short")
	case ticketEncoding().EncodeToString(raw) != body:
		return Ticket{}, badTicket("its last character is wrong")
	}
	b, sum := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	if !bytes.Equal(sum, checksum(b)) {
		return Ticket{}, badTicket("the checksum does not fit: a character is wrong or missing")
	}
	var m recordpb.Ticket
	if err := proto.Unmarshal(b, &m); err != nil {
		return Ticket{}, badTicket("it does not decode: %v", err)
	}
	return decodeTicket(&m)
}

func decodeTicket(m *recordpb.Ticket) (Ticket, error) {
	if len(m.GetSet()) != sha256.Size {
		return Ticket{}, badTicket("its set id has %d bytes, not %d", len(m.GetSet()), sha256.Size)
	}
	if len(m.GetCapability()) > MaxCapability {
		return Ticket{}, badTicket("its capability has %d bytes, at most %d", len(m.GetCapability()), MaxCapability)
	}
	if m.GetName() != "" {
		if err := CheckName(m.GetName()); err != nil {
			return Ticket{}, badTicket("its name is not allowed: %v", err)
		}
	}
	peers, err := DecodePeers(m.GetPeers(), MaxTicketPeers)
	if err != nil {
		return Ticket{}, badTicket("its peers: %v", err)
	}
	return Ticket{
		Set:  blockstore.FromDigest(cid.Raw, [sha256.Size]byte(m.GetSet())),
		Name: m.GetName(), Addrs: peers, Cap: m.GetCapability(),
	}, nil
}

func parseSetID(s string) (Ticket, error) {
	c, err := cid.Decode(s)
	if err != nil {
		return Ticket{}, badTicket("it begins neither like a ticket (%s...) nor is it a set id: %v", ticketPrefix, err)
	}
	if blockstore.CheckCid(c) != nil || c.Prefix().Codec != cid.Raw {
		return Ticket{}, badTicket("%s is a CID, but not that of a set (CIDv1, raw, sha2-256)", c)
	}
	return Ticket{Set: c}, nil
}

func badTicket(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadTicket, fmt.Sprintf(format, args...))
}
