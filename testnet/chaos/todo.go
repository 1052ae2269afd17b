//go:build linux

package main

import "context"

func (l *lab) download(ctx context.Context) error { return nil }
func (l *lab) beacons(ctx context.Context) error { return nil }
