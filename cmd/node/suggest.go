package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// didYouMean is ` (did you mean "x"?)` for the candidate nearest to word, or "" when none is near.
func didYouMean(word string, candidates []string) string {
	best, distance := "", len(word)/3+2 // up to a third of the letters and one more may be wrong
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(word), c); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// otherNames are words that people look for where we have others: sections, and keys.
func otherNames() map[string]string {
	return map[string]string{"limit": "transfer", "limits": "transfer", "bandwidth": "transfer", "rate": "transfer", "network": "p2p", "swarm": "p2p", "libp2p": "p2p", "dashboard": "api", "rest": "api",
		"logging": "log", "upload": "up", "download": "down"}
}

// nearestKey is ` (did you mean "x"?)` for the key whose section and own name are both near to those of word.
func nearestKey(word string, keys []string) string {
	other := otherNames()
	usual := func(part string) string { return cmp.Or(other[part], part) }
	section, name, _ := strings.Cut(strings.ToLower(word), ".")
	section, name = usual(section), usual(name)
	best, distance := "", len(word)
	for _, k := range keys {
		s, n, _ := strings.Cut(k, ".")
		inSection, inName := editDistance(section, s), editDistance(name, n)
		if inSection > len(section)/3+1 || inName > len(name)/3+1 { // a third wrong, and two letters that changed places
			continue
		}
		if d := inSection + inName; d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance is Levenshtein's, row by row (Wagner and Fischer 1974), over bytes: our words are ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// refuseNodeJS recognises a call that was meant for Node.js, whose program has the same name: a script,
// its evaluation flags, or npm calling anything that is not a verb of ours.
func refuseNodeJS(name string, args []string, env func(string) string, verbs []string) error {
	if len(args) == 0 {
		return nil
	}
	first := args[0]
	foreign := slices.Contains([]string{".js", ".mjs", ".cjs"}, filepath.Ext(first)) ||
		slices.Contains([]string{"-e", "--eval", "-p", "--print", "-r", "--require", "--import"}, first) ||
		!strings.HasPrefix(first, "-") && strings.ContainsRune(first, '/') ||
		env("npm_execpath") != "" && !strings.HasPrefix(first, "--") && !slices.Contains(verbs, first)
	if !foreign {
		return nil
	}
	e := usagef("this is Shoal's %s, not Node.js", name)
	e.Detail = "it was called with " + printable(first)
	e.Hint = "take its folder off PATH, or install it under the name shoal"
	return e
}
