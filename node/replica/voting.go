package replica

import "errors"

// Errors of sets with several voters.
var (
	ErrNoPrimary = errors.New("no voter that orders revisions could be reached") // nothing was published
	ErrMinority  = errors.New("this side has no majority of the voters")         // strict: nothing was published
)

// amended tells everybody concerned that the set's config changed.
func (r *Registry) amended(rep *Replica) { r.announce(rep.id) }

// settled tells whether a head is durable under the set's newest config, or one is not needed: a strict set may then
// change it again.
func (r *Registry) settled(*Replica) bool { return true }
