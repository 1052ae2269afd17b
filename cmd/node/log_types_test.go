package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// logged is `logged FILE MESSAGE...`: every line of FILE is one of a log, as a collector wants it, and these are among them.
func logged(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: logged FILE MESSAGE...")
	}
	// Texts whose form is one, whoever writes them.
	forms := map[string]*regexp.Regexp{
		"set": regexp.MustCompile(`^baf[a-z2-7]{50,}$`), "peer": regexp.MustCompile(`^12D3Koo\w+$`),
		"level": regexp.MustCompile(`^(DEBUG|INFO|WARN|ERROR)$`), "time": regexp.MustCompile(`^\d{4}-\d\d-\d\dT`),
	}
	types, seen := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		members, err := membersOf(line)
		if err != nil {
			ts.Fatalf("%s: %v: %s", args[0], err, line)
		}
		for key, v := range members {
			kind := fmt.Sprintf("%T", v)
			if before := types[key]; before != "" && before != kind {
				ts.Fatalf("%s: %s is %s and was %s: %s", args[0], key, kind, before, line)
			}
			types[key] = kind
			if form := forms[key]; form != nil && !form.MatchString(fmt.Sprint(v)) {
				ts.Fatalf("%s: %s has another form: %s", args[0], key, line)
			}
			if _, object := v.(map[string]any); object {
				ts.Fatalf("%s: %s is an object: %s", args[0], key, line)
			}
		}
		seen[fmt.Sprint(members["msg"])] = true
	}
	for _, want := range args[1:] {
		if !seen[want] {
			ts.Fatalf("%s lacks %s", args[0], want)
		}
	}
}

// membersOf are those of one JSON object, none of them twice.
func membersOf(line string) (map[string]any, error) {
	var out map[string]any
	if err := json.Unmarshal([]byte(line), &out); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewBufferString(line))
	_, _ = dec.Token() // the brace
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if text := fmt.Sprint(key); seen[text] {
			return nil, fmt.Errorf("%s twice", text)
		}
		seen[fmt.Sprint(key)] = true
	}
	if _, err := dec.Token(); err != nil && err != io.EOF {
		return nil, err
	}
	return out, nil
}
