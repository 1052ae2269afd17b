package wire

import "strconv"

// Code says how a request went. The numbers are on the wire: new ones are appended, none is ever
// given another meaning, and a reader treats one it does not know as Internal.
type Code uint32

// The codes there are.
const (
	OK         Code = 0
	NotFound   Code = 1 // it is not here, or the asker may not have it: the same answer on purpose
	Corrupt    Code = 2 // it was here, but the bytes are damaged
	Busy       Code = 3 // too much is under way for this peer; ask again later or elsewhere
	BadRequest Code = 4 // the request is not one of this protocol
	Internal   Code = 5 // the peer failed for a reason of its own
	NoBase     Code = 6 // it lacks the bytes a patch would be made against; ask again with a signature of yours
)

// String is the code in words.
func (c Code) String() string {
	switch c {
	case OK:
		return "ok"
	case NotFound:
		return "not found"
	case Corrupt:
		return "corrupt"
	case Busy:
		return "busy"
	case BadRequest:
		return "bad request"
	case Internal:
		return "internal error"
	case NoBase:
		return "no base"
	}
	return "code " + strconv.FormatUint(uint64(c), 10)
}
