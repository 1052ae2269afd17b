package election

// Rule 2: beacons, every interval and at once when something changes.

// beaconSoon makes a beacon due at once, or as soon as the last one is a tenth of an interval old: many changes
// in a row share one.
func (m *Member) beaconSoon() {
	at := max(m.time.now, m.time.sent+m.time.interval/gapFraction)
	m.time.beacon = min(m.time.beacon, at)
}

func (m *Member) sendBeacon() {
	d := m.time.interval
	m.time.no++
	m.time.sent = m.time.now
	m.time.beacon = m.time.now + d - d/jitterFraction + m.jitter(2*d/jitterFraction)
	m.act(Broadcast{&Beacon{Stamp: Stamp{m.disk.Boot, m.time.no}, Interval: d, State: m.state()}})
}

// state is what the member says of itself.
func (m *Member) state() *State {
	if m.said == nil {
		m.said = &State{
			ConfigVersion: m.cfg.Version, ConfigHash: m.cfg.Hash,
			Epoch: m.disk.Epoch, Granted: m.disk.Granted, Role: m.role,
			Known: m.disk.Known, Have: m.disk.Have, Durable: m.disk.Durable,
		}
		if m.role == Primary {
			m.said.Backup = m.reign.backup
		}
	}
	return m.said
}
