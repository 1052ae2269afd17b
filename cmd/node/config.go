package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node/api"
)

// maxConfig bounds the configuration file: one with every key and its comments is a few KiB.
const maxConfig = 1 << 20

// values are settings by key, with the types of settings.
type values map[string]any

// layered is what a command line, the environment, the file and the defaults say together.
type layered struct {
	settings settings
	values   values
	origin   map[string]string // of every value: "default", the file, a variable or a flag
}

// loadConfig layers flags over SHOAL_SECTION__KEY over the file over the defaults. auto is the level of
// the log where nothing else is said.
func (a *app) loadConfig(flags *pflag.FlagSet, auto slog.Level) (hostConfig, error) {
	return a.heirConfig(flags, nil, auto)
}

// heirConfig is loadConfig with the settings of a host whose place is taken between flags and the rest.
func (a *app) heirConfig(flags *pflag.FlagSet, heritage map[string]string, auto slog.Level) (hostConfig, error) {
	l, err := a.layers(flags, heritage)
	if err != nil {
		return hostConfig{}, err
	}
	cfg, err := a.hostConfig(l, auto)
	cfg.Effective = func() ([]setting, error) { return a.effective(flags, heritage) }
	return cfg, err
}

func (a *app) layers(flags *pflag.FlagSet, heritage map[string]string) (layered, error) {
	s, err := newStack()
	if err != nil {
		return layered{}, err
	}
	path, optional := a.configFile()
	text, err := readConfig(path, optional)
	if err != nil {
		return layered{}, err
	}
	s.file(text, path)
	s.environ(a.environ)
	s.inherit(heritage)
	s.flags(flags)
	return s.result()
}

// configFile is the file to read; optional when the user did not name it.
func (a *app) configFile() (path string, optional bool) {
	switch {
	case a.opts.config != "":
		return a.opts.config, false
	case a.ownHome(): // --home puts everything in one folder
		return filepath.Join(a.homeDir(), "config.yaml"), true
	case filepath.IsAbs(a.env("XDG_CONFIG_HOME")):
		return filepath.Join(a.env("XDG_CONFIG_HOME"), "shoal", "config.yaml"), true
	default:
		return filepath.Join(a.env("HOME"), ".config", "shoal", "config.yaml"), true
	}
}

// readConfig reads the file; one that is optional and not there is empty.
func readConfig(path string, optional bool) ([]byte, error) {
	f, err := os.Open(path)
	if optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
		return nil, nil
	}
	if err != nil {
		return nil, configError(err.Error())
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, configError(err.Error())
	}
	if len(text) > maxConfig {
		return nil, configError(fmt.Sprintf("%s: larger than %s", path, size(maxConfig)))
	}
	return text, nil
}

// stack puts one layer of settings on the other and collects what is wrong with them: all of it is told at once.
type stack struct {
	k        *koanf.Koanf
	defaults *koanf.Koanf
	known    []string
	origin   map[string]string
	wrong    []string
}

func newStack() (*stack, error) {
	s := &stack{k: koanf.New("."), origin: map[string]string{}}
	if err := s.k.Load(structs.Provider(defaultSettings(), "koanf"), nil); err != nil {
		return nil, fmt.Errorf("load defaults: %w", err)
	}
	s.known, s.defaults = s.k.Keys(), s.k.Copy()
	for _, key := range s.known {
		s.origin[key] = "default"
	}
	return s, nil
}

// document is text for koanf's parser.
type document []byte

func (d document) ReadBytes() ([]byte, error) { return d, nil }

// Read is not asked for where there is a parser.
func (d document) Read() (map[string]any, error) {
	return nil, errors.New("a document is to be parsed")
}

func (s *stack) file(text []byte, path string) {
	if len(bytes.TrimSpace(text)) == 0 {
		return
	}
	layer := koanf.New(".")
	doc, err := parseDocument(text)
	if err == nil {
		err = layer.Load(document(text), yaml.Parser())
	}
	if err != nil {
		s.wrong = append(s.wrong, path+": "+oneLine(err.Error()))
		return
	}
	where := func(key string) string { return fmt.Sprint(path, ":", lineOf(doc, key)) }
	s.put(layer, where, func(string) string { return path })
}

func (s *stack) environ(environ []string) {
	layer := koanf.New(".")
	err := layer.Load(env.Provider(".", env.Opt{
		Prefix:      "SHOAL_",
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			section, key, ok := strings.Cut(strings.TrimPrefix(name, "SHOAL_"), "__")
			if !ok || value == "" {
				return "", nil // SHOAL_HOME, SHOAL_API, SHOAL_TICKET are no settings; empty is unset
			}
			path := strings.ToLower(section + "." + key)
			if isList(path) {
				return path, listOf(value)
			}
			return path, value
		},
	}), nil)
	if err != nil {
		s.wrong = append(s.wrong, err.Error())
		return
	}
	s.put(layer, variable, variable)
}

// inherit lays the settings that another host told over those that are there: who goes on in its place stays within what that
// was confined to. Keys that this program does not know are left out.
func (s *stack) inherit(told map[string]string) {
	layer := koanf.New(".")
	for key, text := range told {
		var v any = text
		if isList(key) {
			v = listOf(text)
		}
		if !slices.Contains(s.known, key) {
			continue
		}
		if err := layer.Set(key, v); err != nil {
			s.wrong = append(s.wrong, err.Error())
		}
	}
	former := func(string) string { return "the node before" }
	s.put(layer, former, former)
}

func (s *stack) flags(flags *pflag.FlagSet) {
	if flags == nil {
		return
	}
	keys, given := settingFlags(), map[string]string{}
	layer := koanf.New(".")
	err := layer.Load(posflag.ProviderWithFlag(flags, ".", layer, func(f *pflag.Flag) (string, any) {
		key := keys[f.Name]
		if !f.Changed || key == "" {
			return "", nil // "" = not a setting
		}
		given[key] = "--" + f.Name
		return key, posflag.FlagVal(flags, f)
	}), nil)
	if err != nil {
		s.wrong = append(s.wrong, err.Error())
		return
	}
	flag := func(key string) string { return given[key] }
	s.put(layer, flag, flag)
}

// listOf is a list that is written as one text.
func listOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// put lays a layer over those before. A key that means nothing is wrong: a setting that is silently ignored
// is worse than none. One without a value, as it is left where the lines below it are made comments, is as if
// it were not there. where tells more exactly than origin from where a key is, to who wrote a wrong one.
func (s *stack) put(layer *koanf.Koanf, where, origin func(key string) string) {
	for _, key := range layer.Keys() {
		section := slices.ContainsFunc(s.known, func(k string) bool { return strings.HasPrefix(k, key+".") })
		empty := layer.Get(key) == nil
		known := slices.Contains(s.known, key)
		switch {
		case known && !empty:
			s.origin[key] = origin(key)
			if why := unfit(s.defaults.Get(key), layer.Get(key)); why != "" {
				s.wrong = append(s.wrong, fmt.Sprintf("%s: %s %s", where(key), key, why))
			}
		case empty && (section || known):
			layer.Delete(key)
		case section:
			s.wrong = append(s.wrong, fmt.Sprintf("%s: %s is a section; its keys are written below it, indented", where(key), key))
		default:
			s.wrong = append(s.wrong, fmt.Sprintf("%s: unknown key %s%s", where(key), printable(key), nearestKey(key, s.known)))
		}
	}
	if len(s.wrong) > 0 {
		return
	}
	if err := s.k.Merge(layer); err != nil {
		s.wrong = append(s.wrong, oneLine(err.Error()))
	}
}

// unfit is why a value cannot be one of the type that the default has; "" if it can. Texts are read as
// what they are to be, and a single value is a list of one.
func unfit(standard, value any) string {
	text, isText := value.(string)
	switch standard.(type) {
	case bool:
		_, ok := value.(bool)
		if _, err := strconv.ParseBool(text); !ok && (!isText || err != nil) {
			return fmt.Sprintf("is true or false, not %q", fmt.Sprint(value))
		}
	case int:
		_, ok := value.(int)
		if _, err := strconv.Atoi(text); !ok && (!isText || err != nil) {
			return fmt.Sprintf("is a whole number, not %q", fmt.Sprint(value))
		}
	case string:
		switch value.(type) {
		case []any, []string, map[string]any:
			return "is one value, not a list or a section"
		}
	}
	return ""
}

func (s *stack) result() (layered, error) {
	out := layered{origin: s.origin}
	if len(s.wrong) > 0 {
		return out, configError(s.wrong...)
	}
	if err := s.k.UnmarshalWithConf("", &out.settings, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		return out, configError(strings.Join(strings.Fields(err.Error()), " "))
	}
	typed := koanf.New(".")
	if err := typed.Load(structs.Provider(out.settings, "koanf"), nil); err != nil {
		return out, fmt.Errorf("load settings: %w", err)
	}
	out.values = maps.Clone(typed.All())
	return out, nil
}

func configError(why ...string) *api.Error {
	return &api.Error{Code: "bad_config", ExitCode: api.ExitUsage, Title: "configuration not understood", Detail: strings.Join(why, "\n"), Hint: "`node help config`"}
}
