package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	json   bool               // on stderr: a collector reads it, and nothing else should stand between its lines
}

func newLogs(stderr io.Writer, o logOptions) *logs {
	l := &logs{level: new(slog.LevelVar)}
	l.level.Set(o.level)
	if o.stderr == nil {
		o.stderr = l.level
	}
	l.json = !plain(o.format, isTerminal(stderr))
	handler := newHandler(stderr, o.format, isTerminal(stderr), o.stderr)
	if o.file != "" {
		const mib = 1 << 20 // what lumberjack counts in
		l.file = &lumberjack.Logger{Filename: o.file, MaxSize: int((o.maxSize + mib - 1) / mib), MaxBackups: o.keep}
		handler = slog.NewMultiHandler(handler, newHandler(l.file, o.format, false, l.level))
	}
	l.logger = slog.New(handler)
	return l
}

// plain tells whether lines are text for people, and not JSON.
func plain(format string, people bool) bool { return format == "text" || format == "auto" && people }

// newHandler writes text for people and JSON for everybody else.
func newHandler(w io.Writer, format string, people bool, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: worded}
	if plain(format, people) {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

// worded writes ids as what they are called: as JSON some are objects, and who collects lines wants one type for one name.
func worded(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	switch v := a.Value.Any().(type) {
	case error:
		a.Value = slog.StringValue(v.Error())
	case fmt.Stringer:
		a.Value = slog.StringValue(v.String())
	}
	return a
}

// open makes sure that the file can be written, and not read by others: what a log cannot write is lost without a word, and
// it tells who gets what. The last folder of its path is made, and no other: what is missing before it is a slip of the pen
// more often than not.
func (l *logs) open() error {
	if l.file == nil {
		return nil
	}
	err := os.Mkdir(filepath.Dir(l.file.Filename), 0o700)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = touch(l.file.Filename)
	}
	if err != nil {
		return &api.Error{Code: "bad_log_file", ExitCode: api.ExitUsage, Title: "the log cannot be written to its file", Detail: err.Error(), Hint: "another log.file"}
	}
	return nil
}

// touch makes sure that a file is there, can be written, and is nobody else's to read.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		err = f.Chmod(0o600)
	}
	return errors.Join(err, f.Close())
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
