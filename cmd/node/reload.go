package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
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
	// What came of it is told if the level before or the one after lets it through.
	after := read.Logs.level.Level()
	cfg.Logs.level.Set(min(cfg.Logs.level.Level(), after))
	defer cfg.Logs.level.Set(after)
	for _, key := range changed.live {
		cfg.Settings[key] = read.Settings[key]
	}
	cfg.Log.Info("read the configuration again", "changed", changed.live)
	if path, _ := a.configFile(); len(changed.live)+len(changed.later) > 0 && !exists(path) {
		cfg.Log.Warn("there is no configuration file any more: the defaults and the environment count", "file", path)
	}
	if len(changed.later) > 0 {
		cfg.Log.Warn("these settings need a restart", "keys", changed.later)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
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
