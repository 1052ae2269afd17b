package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

// change is what reading the configuration again brings.
type change struct {
	live  []string // keys that can change now, in order
	later []string // keys that need a restart, in order
}

// compare tells apart what changed between two readings.
func compare(before, after values) change {
	c := change{live: []string{}, later: []string{}} // a log shows lists, and not that there are none
	live := map[string]bool{}
	for _, k := range settingKeys() {
		live[k.name] = k.live
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		switch {
		case reflect.DeepEqual(before[key], after[key]):
		case live[key]:
			c.live = append(c.live, key)
		default:
			c.later = append(c.later, key)
		}
	}
	return c
}

// reload reads the configuration again, takes up what can be changed now and says what cannot. One that is not
// understood changes nothing.
func (a *app) reload(ctx context.Context, flags *pflag.FlagSet, h *hosted, cfg *hostConfig) {
	if err := cfg.Logs.reopen(); err != nil {
		cfg.Log.Error("the log's file", "err", err)
	}
	read, err := a.loadConfig(flags, slog.LevelInfo)
	if err != nil {
		cfg.Log.Error("the configuration stays as it was", "err", err)
		return
	}
	changed := compare(cfg.Settings, read.Settings)
	if err := relimit(ctx, h.client, changed.live, read.Transfer); err != nil {
		cfg.Log.Error("the configuration stays as it was", "err", err)
		return
	}
	cfg.Logs.level.Set(read.Logs.level.Level())
	for _, key := range changed.live {
		cfg.Settings[key] = read.Settings[key]
	}
	cfg.Log.Info("read the configuration again", "changed", changed.live)
	if len(changed.later) > 0 {
		cfg.Log.Warn("these settings need a restart", "keys", changed.later)
	}
}

// relimit tells the node of the limits among the keys that changed; others stay as they are, also those that were
// changed by hand since.
func relimit(ctx context.Context, to api.Limiter, changed []string, now node.TransferConfig) error {
	var q api.LimitsRequest
	for _, key := range changed {
		switch key {
		case "transfer.up":
			q.Up = &now.Up
		case "transfer.down":
			q.Down = &now.Down
		case "transfer.lan_exempt":
			q.LANExempt = &now.LANExempt
		}
	}
	if q == (api.LimitsRequest{}) {
		return nil
	}
	if _, err := to.SetLimits(ctx, q); err != nil {
		return fmt.Errorf("change limits: %w", err)
	}
	return nil
}
