package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/shoal-p2p/shoal/node/api"
)

// logOptions say where the log goes and what of it.
type logOptions struct {
	level   slog.Level
	stderr  slog.Leveler // what -q and -v ask of stderr; nil = level
	format  string       // "auto", "text" or "json"
	file    string       // absolute; "" = none
	maxSize int64        // bytes, of the file before it is put aside
	keep    int          // files that were put aside
}

// logs is the log of a process: on stderr, and in a file if one is wanted. Nothing is opened before the first line.
type logs struct {
	logger *slog.Logger
	level  *slog.LevelVar
	file   *lumberjack.Logger // nil = none
}

func newLogs(stderr io.Writer, o logOptions) *logs {
	l := &logs{level: new(slog.LevelVar)}
	l.level.Set(o.level)
	if o.stderr == nil {
		o.stderr = l.level
	}
	handler := newHandler(stderr, o.format, isTerminal(stderr), o.stderr)
	if o.file != "" {
		const mib = 1 << 20 // what lumberjack counts in
		l.file = &lumberjack.Logger{Filename: o.file, MaxSize: int((o.maxSize + mib - 1) / mib), MaxBackups: o.keep}
		handler = slog.NewMultiHandler(handler, newHandler(l.file, o.format, false, l.level))
	}
	l.logger = slog.New(handler)
	return l
}

// newHandler writes text for people and JSON for everybody else.
func newHandler(w io.Writer, format string, people bool, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "text" || format == "auto" && people {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

// open makes sure that the file can be written: what a log cannot write is lost without a word.
func (l *logs) open() error {
	if l.file == nil {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(l.file.Filename), 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(l.file.Filename, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return &api.Error{Code: "bad_log_file", ExitCode: api.ExitUsage, Title: "the log cannot be written to its file", Detail: err.Error(), Hint: "another log.file"}
	}
	return nil
}

// reopen goes on with the file of that name, which may be another one now: somebody else put it aside.
func (l *logs) reopen() error {
	if l.file == nil {
		return nil
	}
	if err := errors.Join(l.file.Close(), l.open()); err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	return nil
}
