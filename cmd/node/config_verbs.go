package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2/maybe"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node/rest"
)

//go:embed help/config.txt
var helpConfig string

func newConfigCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at the settings and change the configuration file",
		Long:  strings.ReplaceAll(helpConfig, "NAME", a.name) + settingsTable(),
		Args:  a.subcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigListCommand(a), newConfigGetCommand(a), newConfigSetCommand(a), newConfigPathCommand(a), newConfigCheckCommand(a))
	return cmd
}

// subcommand refuses a word that is none of a command's own verbs.
func (a *app) subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	e := usagef("unknown command %s %s%s", cmd.Name(), printable(args[0]), didYouMean(args[0], known))
	e.Hint = fmt.Sprintf("`%s --help`", cmd.CommandPath())
	return e
}

// setting is one value as config list and get tell it.
type setting = rest.Setting

// effective are the settings as this command line would have them, in the order of help; all are good.
func (a *app) effective(flags *pflag.FlagSet, heritage map[string]string) ([]setting, error) {
	l, err := a.layers(flags, heritage)
	if err != nil {
		return nil, err
	}
	if _, err := a.hostConfig(l, 0); err != nil {
		return nil, err
	}
	var out []setting
	for _, k := range settingKeys() {
		out = append(out, setting{Key: k.name, Value: l.values[k.name], Origin: l.origin[k.name]})
	}
	return out, nil
}

func newConfigListCommand(a *app) *cobra.Command {
	var origin bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print every setting, and with --origin what it comes from",
		Long: "Print every setting as a node that is started now would have it: a flag wins over the variable, the\n" +
			"variable over the file, the file over the default. --origin tells which it was.",
		Args: a.arguments(0, 0),
	}
	cmd.Flags().BoolVar(&origin, "origin", false, "tell what each value comes from")
	addSettingFlags(cmd.Flags())
	addServiceFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := a.effective(cmd.Flags(), nil)
		if err != nil {
			return err
		}
		res := struct {
			Settings []setting `json:"settings"`
		}{all}
		return a.result(res, func(w io.Writer) {
			var rows [][]string
			for _, s := range all {
				row := []string{s.Key, valueText(s.Value)}
				if origin {
					row = append(row, printable(s.Origin))
				}
				rows = append(rows, row)
			}
			table(w, rows)
		})
	}
	return cmd
}

// valueText is a value for people, as it is typed after config set.
func valueText(v any) string {
	list, ok := v.([]string)
	if !ok {
		return printable(fmt.Sprint(v))
	}
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = printable(s)
	}
	return strings.Join(words, " ")
}

func newConfigGetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "get KEY",
		Short:             "Print one setting; a list one to a line",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: completeKey,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkKey(args[0]); err != nil {
				return err
			}
			all, err := a.effective(nil, nil)
			if err != nil {
				return err
			}
			s := all[slices.IndexFunc(all, func(s setting) bool { return s.Key == args[0] })]
			return a.result(s, func(w io.Writer) {
				if list, ok := s.Value.([]string); ok {
					for _, item := range list {
						fmt.Fprintln(w, item)
					}
					return
				}
				fmt.Fprintln(w, s.Value)
			})
		},
	}
}

// checkKey refuses what is no setting.
func checkKey(name string) error {
	names := keyNames()
	if slices.Contains(names, name) {
		return nil
	}
	e := usagef("unknown key %s%s", printable(name), nearestKey(name, names))
	e.Hint = "`node config list`"
	return e
}

func keyNames() []string {
	var names []string
	for _, k := range settingKeys() {
		names = append(names, k.name)
	}
	return names
}

// completeKey completes a first argument with the keys.
func completeKey(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const noFiles = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, noFiles
	}
	var out []cobra.Completion
	for _, k := range settingKeys() {
		out = append(out, cobra.CompletionWithDesc(k.name, k.help))
	}
	return out, noFiles
}

func newConfigSetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set KEY VALUE... | KEY=VALUE...",
		Short: "Write settings to the configuration file",
		Long: "Write a setting to the configuration file, which is made if there is none. What else is in it stays,\n" +
			"comments too. A list takes any number of values, one after the other and not parted by commas as in\n" +
			"a variable, and none to be empty. Nothing is written if the file would not be understood after it.\n" +
			"\n" +
			"KEY=VALUE writes several settings in one step, for those that go together; the values of a list are\n" +
			"parted by commas then.",
		Example: fmt.Sprintf("  %[1]s config set transfer.up 5MB/s\n  %[1]s config set api.cert=cert.pem api.key=key.pem api.listen=0.0.0.0:4580", a.name),
		Args:    a.arguments(1, 100), // more addresses than a machine has

		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := assignments(args)
			if err != nil {
				return err
			}
			return a.configSet(cmd.Context(), all)
		},
	}
}

// assignment is one setting that is to be written.
type assignment struct {
	key   string
	value []string
}

// assignments reads KEY VALUE... or KEY=VALUE... .
func assignments(args []string) ([]assignment, error) {
	if !strings.Contains(args[0], "=") {
		return []assignment{{args[0], args[1:]}}, checkAssignment(args[0], args[1:])
	}
	var all []assignment
	for _, arg := range args {
		key, text, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usagef("%s is not KEY=VALUE as those before it", printable(arg))
		}
		value := []string{text}
		if isList(key) {
			value = listOf(text)
		}
		if err := checkAssignment(key, value); err != nil {
			return nil, err
		}
		all = append(all, assignment{key, value})
	}
	return all, nil
}

func checkAssignment(key string, value []string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if !isList(key) && len(value) != 1 {
		return usagef("%s takes one value, not %d", key, len(value))
	}
	return nil
}

func (a *app) configSet(ctx context.Context, all []assignment) error {
	path, _ := a.configFile()
	path = absolute(path)
	unlock, err := lockConfig(ctx, path)
	if err != nil {
		return fmt.Errorf("lock the configuration: %w", err)
	}
	defer unlock()
	text, err := readConfig(path, true)
	if err != nil {
		return err
	}
	var keys []string
	for _, s := range all {
		if text, err = setInDocument(text, s.key, s.value); err != nil {
			return configError(path + ": " + err.Error())
		}
		keys = append(keys, s.key)
	}
	if err := a.understood(text, path, keys); err != nil {
		return err
	}
	if err := replaceConfig(path, text); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if !a.opts.json {
		a.tellWritten(path, keys)
	}
	return a.result(struct {
		Key  string   `json:"key"` // the first
		Keys []string `json:"keys"`
		File string   `json:"file"`
	}{keys[0], keys, path}, func(io.Writer) {})
}

// tellWritten says when what was written counts.
func (a *app) tellWritten(path string, keys []string) {
	when := "SIGHUP"
	for _, k := range settingKeys() {
		if !k.live && slices.Contains(keys, k.name) {
			when = "restart"
		}
	}
	a.say("wrote %s; a node that runs needs a %s to take it up", printable(path), when)
	for _, key := range keys {
		if v := variable(key); a.env(v) != "" {
			a.say("warning: %s is set and wins over the file", v)
		}
	}
}

// configPatience bounds the wait for others that write the file: each takes milliseconds.
const configPatience = 10 * time.Second

// lockConfig keeps other commands from writing the file between reading and writing it: they hold a lock on its folder, so
// that nothing lies about. Where a folder cannot be locked there is none.
func lockConfig(ctx context.Context, path string) (unlock func(), err error) {
	if path, err = linkEnd(path); err != nil {
		return nil, configError(err.Error())
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, configPatience)
	defer cancel()
	lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
	_, err = lock.TryLockContext(ctx, 10*time.Millisecond) // that of one who writes
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("another program has kept %s locked for %v", dir, configPatience)
	case errors.Is(err, errors.ErrUnsupported) || os.PathSeparator != '/':
		return func() {}, nil
	case err != nil:
		return nil, err
	}
	return func() { _ = lock.Close() }, nil
}

// understood tells whether a file with this text, in which keys are new, is a good one, whatever flags and variables say
// besides.
func (a *app) understood(text []byte, path string, keys []string) error {
	s, err := newStack()
	if err != nil {
		return err
	}
	s.file(text, path)
	l, err := s.result()
	if err != nil {
		return err
	}
	cfg, err := a.hostConfig(l, 0)
	if err != nil || !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, "api.") }) {
		return err // what lies at the other files is none of this change
	}
	return checkCertificate(cfg.API)
}

// linkEnd is where a chain of links leads to, also where nothing is there yet.
func linkEnd(path string) (string, error) {
	for range 40 { // as many as Linux follows
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or not there
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", &fs.PathError{Op: "follow links", Path: path, Err: syscall.ELOOP}
}

// replaceConfig writes the file in one step; where it is a link, what it leads to. Mode and owner stay.
func replaceConfig(path string, text []byte) error {
	path, err := linkEnd(path)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if st, err := os.Stat(path); err == nil {
		if mode = st.Mode().Perm(); mode&0o200 == 0 {
			return fmt.Errorf("%s is not to be written: its mode is %#o", path, mode)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	uid, gid, known := ownerOf(path)
	if err := maybe.WriteFile(path, text, mode); err != nil {
		return err
	}
	if known && os.Geteuid() == 0 { // root writes for a service, which must be able to read it
		return os.Lchown(path, uid, gid)
	}
	return nil
}

func newConfigPathCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "path",
		Short: "Print where the configuration file is, or would be",
		Args:  a.arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			path, _ := a.configFile()
			path = absolute(path)
			_, err := os.Stat(path)
			res := struct {
				Path   string `json:"path"`
				Exists bool   `json:"exists"`
			}{path, err == nil}
			return a.result(res, func(w io.Writer) { fmt.Fprintln(w, res.Path) })
		},
	}
}

func newConfigCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration file, the certificate and the environment: exit 0 or 2",
		Args:  a.arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.loadConfig(nil, 0)
			if err == nil {
				err = checkCertificate(cfg.API)
			}
			if err != nil {
				return err
			}
			path, _ := a.configFile()
			path = absolute(path)
			if _, err := os.Stat(path); err != nil {
				path = ""
			}
			res := struct {
				OK   bool   `json:"ok"`
				File string `json:"file,omitempty"`
			}{true, path}
			return a.result(res, func(io.Writer) {
				if path == "" {
					a.say("the defaults and the environment are good; there is no file")
					return
				}
				a.say("%s and the environment are good", printable(path))
			})
		},
	}
}
