package council

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/handler"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// asking is how this protocol asks.
func asking() handler.Protocol {
	return handler.Protocol{ID: ID, Service: ServiceName, Request: requestTimeout, Frame: answerTimeout, Slowest: slowest}
}

// Client tells and asks other nodes. Its methods may be called from any goroutine.
type Client struct {
	host host.Host
	log  *slog.Logger
	ctx  context.Context // ends what is being sent
	end  context.CancelFunc
	wg   sync.WaitGroup // one for each line

	mu     sync.Mutex // guards what follows, and the queues of the lines
	closed bool
	lines  map[peer.ID]*line
}

// New makes a client of h. It must be closed before h.
func New(h host.Host, log *slog.Logger) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	return &Client{host: h, log: log, ctx: ctx, end: cancel, lines: map[peer.ID]*line{}}
}

// Table asks p for the seats of its table of a topic that changed after version since, at most MaxTable bytes of
// them, and for the version with them; if that is below the version that p says it has, there are more.
// Errors: ErrNotFound, ErrBusy, ErrRemote, ErrMalformed, those of the stream.
func (c *Client) Table(ctx context.Context, p peer.ID, topic string, since uint64) (version uint64, seats []Seat, err error) {
	t, err := c.table(ctx, p, &councilpb.Request{Kind: councilpb.Kind_TABLE, Topic: topic, Since: since})
	if err != nil {
		return 0, nil, fmt.Errorf("ask for table: %w", err)
	}
	return t.version, t.seats, nil
}

func (c *Client) table(ctx context.Context, p peer.ID, req *councilpb.Request) (t table, err error) {
	q, err := asking().Ask(ctx, c.host, p, req)
	if err != nil {
		return table{}, err
	}
	defer q.Close()
	for {
		var m councilpb.TableReply
		if err := q.Read(&m, wire.MaxControl, answerTimeout); err != nil {
			return table{}, err
		}
		if err := wire.ErrorOf(m.GetCode()); err != nil {
			return table{}, err
		}
		if err := t.add(&m); err != nil {
			return table{}, err
		}
		if !m.GetMore() {
			return t, nil
		}
	}
}

// Heads asks p for sealed heads by their ids, 1 to MaxHeads. It gives those that p has, in no order; not verified,
// not even that they are among those asked for. What does not fit into MaxHeadsSize bytes is left out.
// Errors: as Table.
func (c *Client) Heads(ctx context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error) {
	heads, err := c.heads(ctx, p, set, ids)
	if err != nil {
		return nil, fmt.Errorf("ask for heads: %w", err)
	}
	return heads, nil
}

func (c *Client) heads(ctx context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error) {
	digest, err := setDigest(set)
	if err != nil {
		return nil, err
	}
	joined, err := encodeIDs(ids)
	if err != nil {
		return nil, err
	}
	q, err := asking().Ask(ctx, c.host, p, &councilpb.Request{Kind: councilpb.Kind_HEADS, Set: digest, Ids: joined})
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var m councilpb.HeadsReply
	if err := q.Read(&m, maxHeadsReply, answerTimeout); err != nil {
		return nil, err
	}
	if err := wire.ErrorOf(m.GetCode()); err != nil {
		return nil, err
	}
	return decodeHeads(&m, len(ids))
}

// Propose hands a sealed proposal to p and calls fn, one call at a time, with what becomes of it. It blocks until p
// has no more to tell (nil, after at least one call), fn returns an error (which is returned), ctx ends (its error is
// returned), or something fails: then what becomes of the proposal is not known. Errors: as Table.
func (c *Client) Propose(ctx context.Context, p peer.ID, set cid.Cid, sealed []byte, fn func(Outcome) error) error {
	if err := c.propose(ctx, p, set, sealed, fn); err != nil {
		return fmt.Errorf("propose: %w", err)
	}
	return nil
}

func (c *Client) propose(ctx context.Context, p peer.ID, set cid.Cid, sealed []byte, fn func(Outcome) error) error {
	digest, err := setDigest(set)
	if err != nil {
		return err
	}
	if len(sealed) == 0 || len(sealed) > record.MaxSealed {
		return fmt.Errorf("%w: a proposal of %d bytes, at most %d", ErrMalformed, len(sealed), record.MaxSealed)
	}
	q, err := asking().Ask(ctx, c.host, p, &councilpb.Request{Kind: councilpb.Kind_PROPOSE, Set: digest, Sealed: sealed})
	if err != nil {
		return err
	}
	defer q.Close()
	for told := 0; ; told++ {
		var m councilpb.OutcomeReply
		err := q.Read(&m, maxOutcome, 0)
		switch {
		case isEnd(err) && told > 0:
			return nil
		case err != nil:
			return err
		}
		if err := wire.ErrorOf(m.GetCode()); err != nil {
			return err
		}
		if told == MaxOutcomes {
			return fmt.Errorf("%w: more than %d outcomes", ErrMalformed, MaxOutcomes)
		}
		o, err := decodeOutcome(&m)
		if err != nil {
			return err
		}
		if err := fn(o); err != nil {
			return err
		}
	}
}
