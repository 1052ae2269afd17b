package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setInDocument is the YAML document with one key set, and with its comments and its order.
func setInDocument(text []byte, key string, value []string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 { // nothing but comments, or not even those
		doc = yaml.Node{Kind: yaml.DocumentNode, HeadComment: strings.TrimSpace(string(text)), Content: []*yaml.Node{newSection()}}
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
	node := valueNode(key, value)
	if old := lookUp(at, last); old != nil {
		node.HeadComment, node.LineComment, node.FootComment = old.HeadComment, old.LineComment, old.FootComment
		*old = *node
	} else {
		at.Content = append(at.Content, scalar(last, "!!str"), node)
	}
	spellNulls(&doc, false)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&doc), enc.Close()); err != nil {
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
