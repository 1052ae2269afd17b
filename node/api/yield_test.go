package api

import (
	"errors"
	"testing"
)

// A command that hosts the node gives way when it is asked; who stays says so, and stays.
func TestYield(t *testing.T) {
	asked := make(chan struct{})
	socket, _ := node(t, new(stub), ServerOptions{Version: "v9", Transient: true, Yield: func() { close(asked) }})
	if err := dial(t, socket).Yield(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-asked
	socket, _ = node(t, new(stub), ServerOptions{Version: "v9"})
	var e *Error
	if err := dial(t, socket).Yield(t.Context()); !errors.As(err, &e) || e.Code != CodeStays || e.ExitCode != ExitStore {
		t.Errorf("a node that stays: %v", err)
	}
}
