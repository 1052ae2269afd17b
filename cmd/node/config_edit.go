package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// errSecond is answered for a file of several documents: only the first would count.
var errSecond = errors.New("a second YAML document begins after a line ---; write all keys in one")

// parseDocument reads the one YAML document of a file; one without Content is empty. It refuses keys with a dot: as they
// look like the key of a section to us and like a key of their own to YAML, they would be told and not be taken.
func parseDocument(text []byte) (*yaml.Node, error) {
	doc, dec := &yaml.Node{}, yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(doc); errors.Is(err, io.EOF) {
		return doc, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&yaml.Node{}); err == nil {
		return nil, errSecond
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return doc, dotless(doc)
}

// dotless refuses keys with a dot in n and below.
func dotless(n *yaml.Node) error {
	for i, c := range n.Content {
		if section, key, dotted := strings.Cut(c.Value, "."); dotted && n.Kind == yaml.MappingNode && i%2 == 0 {
			return fmt.Errorf("line %d: unknown key %s: write %s: {%s: ...}", c.Line, strconv.Quote(c.Value), section, key)
		}
		if err := dotless(c); err != nil {
			return err
		}
	}
	return nil
}

// lineOf is the line of a key, or of the innermost section on the way to it that can be found; 1 at least.
func lineOf(doc *yaml.Node, key string) int {
	line := 1
	if len(doc.Content) == 0 {
		return line
	}
	at := doc.Content[0]
	for part := range strings.SplitSeq(key, ".") {
		if at.Kind != yaml.MappingNode {
			return line
		}
		next := lookUp(at, part)
		if next == nil {
			return line
		}
		at, line = next, max(line, next.Line)
	}
	return line
}

// setInDocument is the YAML document with one key set, and with its comments and its order.
func setInDocument(text []byte, key string, value []string) ([]byte, error) {
	doc, err := parseDocument(text)
	if err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 { // nothing but comments, or not even those
		doc = &yaml.Node{Kind: yaml.DocumentNode, HeadComment: strings.TrimSpace(string(text)), Content: []*yaml.Node{newSection()}}
	}
	at := doc.Content[0]
	path := strings.Split(key, ".")
	for _, section := range path[:len(path)-1] {
		if err := asSection(at); err != nil {
			return nil, err
		}
		next := lookUp(at, section)
		if next == nil {
			next = newSection()
			at.Content = append(at.Content, scalar(section, "!!str"), next)
		}
		at = next
	}
	if err := asSection(at); err != nil {
		return nil, err
	}
	last := path[len(path)-1]
	if isBool(key) && value[0] != "true" && value[0] != "false" {
		return nil, usagef("%s is true or false, not %s", key, strconv.Quote(value[0]))
	}
	node := valueNode(key, value)
	if old := lookUp(at, last); old != nil {
		node.HeadComment, node.LineComment, node.FootComment = old.HeadComment, old.LineComment, old.FootComment
		*old = *node
	} else {
		at.Content = append(at.Content, scalar(last, "!!str"), node)
	}
	spellNulls(doc, false)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(doc), enc.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func newSection() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func scalar(text, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text}
}

// asSection makes sure that n holds keys; one that was left empty does from now on.
func asSection(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		n.Kind, n.Tag, n.Value = yaml.MappingNode, "!!map", ""
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d is no section of keys", n.Line)
	}
	return nil
}

// lookUp is the value of a key in a section, or nil.
func lookUp(section *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(section.Content); i += 2 {
		if section.Content[i].Value == key {
			return section.Content[i+1]
		}
	}
	return nil
}

// valueNode is a value as it was typed; text that YAML would take for something else is quoted by the encoder.
func valueNode(key string, value []string) *yaml.Node {
	if isList(key) {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		if len(value) == 0 {
			list.Style = yaml.FlowStyle // [] and not nothing
		}
		for _, v := range value {
			list.Content = append(list.Content, scalar(v, "!!str"))
		}
		return list
	}
	// Numbers and truth values are written plainly where they come back as they were typed.
	if n, err := strconv.Atoi(value[0]); err == nil && strconv.Itoa(n) == value[0] {
		return scalar(value[0], "!!int")
	}
	if isBool(key) {
		return scalar(value[0], "!!bool")
	}
	node := &yaml.Node{}
	node.SetString(value[0])
	return node
}

// spellNulls gives a name to values that were left out between braces: the encoder makes empty texts of them.
func spellNulls(n *yaml.Node, braces bool) {
	if braces && n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		n.Value = "null"
	}
	for _, c := range n.Content {
		spellNulls(c, braces || n.Style&yaml.FlowStyle != 0)
	}
}
