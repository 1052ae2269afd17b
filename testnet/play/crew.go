package play

import "sync"

// crew are goroutines that somebody may wait for. Other than with a sync.WaitGroup, which panics then, more of them may
// begin meanwhile: people type statements when a script is about to end.
type crew struct {
	mu   sync.Mutex // guards what follows
	n    int
	none chan struct{} // closed when n is 0 again; there while it is not
}

// Go starts one.
func (c *crew) Go(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n == 1 {
		c.none = make(chan struct{})
	}
	go func() {
		defer c.ends()
		do()
	}()
}

func (c *crew) ends() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 {
		close(c.none)
	}
}

// Wait returns when there is none, or was none for a moment.
func (c *crew) Wait() {
	c.mu.Lock()
	n, none := c.n, c.none
	c.mu.Unlock()
	if n > 0 {
		<-none
	}
}
