package election

import (
	"cmp"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Rules 1 and 12: epochs only grow, and a newer config is a higher epoch.

// adopt makes e the epoch if it is higher. Its owner gets a full TFail to show itself.
func (m *Member) adopt(e record.Epoch) {
	if e.ConfigVersion > m.cfg.Version || e.Compare(m.disk.Epoch) <= 0 {
		return
	}
	if m.owns(e) { // made here and not remembered
		m.cloned()
	}
	m.disk.Epoch, m.disk.Waived = e, nil
	m.touch()
	m.stepDown()
	m.time.primary, m.time.heard = m.time.now, -1
	m.reign.backup = ""
	m.acknowledge()
	m.beaconSoon()
}

// stepDown ends a reign or a candidacy. Proposals that wait are refused.
func (m *Member) stepDown() {
	was := m.role
	m.cand = candidacy{}
	if was == Primary {
		queue, drain := m.reign.queue, m.reign.drain
		if p := m.reign.making; p != nil && p.Kind == Publish {
			queue = append([]uint64{p.Proposal}, queue...)
		}
		m.reign = reign{}
		for _, id := range queue {
			m.refuse(id)
		}
		if drain.asked {
			m.act(HandedOver{})
		}
		m.time.primary, m.time.heard = m.time.now, -1
	}
	m.become(Follower)
}

func (m *Member) become(r Role) {
	if m.role == r {
		return
	}
	m.role = r
	m.said = nil
	m.act(Became{r, m.disk.Epoch})
	m.beaconSoon()
}

// compareConfig tells how a voter's config lies to ours.
func (m *Member) compareConfig(s *State) int {
	return cmp.Or(cmp.Compare(s.ConfigVersion, m.cfg.Version), cmp.Compare(s.ConfigHash, m.cfg.Hash))
}

// stranger hears somebody the config does not list: only a newer config could change that.
func (m *Member) stranger(r Received) {
	if b, ok := r.Message.(*Beacon); ok && b.State != nil && m.compareConfig(b.State) > 0 {
		m.act(FetchConfig{r.From})
	}
}

// configured takes a config in if it is newer than ours.
func (m *Member) configured(e ConfigChanged) {
	if e.Config.Version == m.cfg.Version && e.Config.Hash != m.cfg.Hash {
		m.act(Alarm{Kind: TwoConfigs})
	}
	if e.Config.Compare(m.cfg) <= 0 {
		return
	}
	led := m.role == Primary
	m.stepDown()
	m.setConfig(e.Config)
	m.enterVersion()
	m.cut(e)
	m.time.primary, m.time.heard = m.time.now, -1
	m.beaconSoon()
	if led && m.able() { // the order goes on under the new config
		m.stand(true)
	}
}

// setConfig rebuilds the table of voters and keeps what is known of those that stay.
func (m *Member) setConfig(c Config) {
	m.cfg = c
	m.voter = c.lists(m.self.id, m.self.instance)
	peers := make([]*peerState, 0, len(c.Voters))
	for _, v := range c.Voters {
		if v.ID == m.self.id {
			continue
		}
		p := m.peer(v.ID)
		if p == nil || v.Instance != "" && p.now.instance != v.Instance {
			p = newPeerState(v, m.time.interval)
		}
		p.instance = v.Instance
		peers = append(peers, p)
	}
	m.peers = peers
	m.said = nil
}

// enterVersion raises the epoch to the config's: above all of the versions before, below all of its own.
func (m *Member) enterVersion() {
	if m.disk.Epoch.ConfigVersion < m.cfg.Version {
		m.disk.Epoch, m.disk.Waived = record.Epoch{ConfigVersion: m.cfg.Version}, nil
		m.touch()
	}
}

// cut takes the frontiers that the config's cuts leave.
func (m *Member) cut(e ConfigChanged) {
	if e.Known != nil {
		m.disk.Known = *e.Known
	}
	if e.Have != nil {
		m.disk.Have = *e.Have
	}
	m.disk.Durable = m.disk.Durable.without(m.cfg.Refuses)
	m.touch()
	m.chase()
}
