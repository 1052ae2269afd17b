package script

import (
	"slices"
	"strings"
)

// didYouMean is `; did you mean x?` for the candidate that a word is nearly, or "".
func didYouMean(word string, candidates []string) string {
	// Up to a third of the letters may be wrong, and one in a short word; a word of one letter is no typing mistake.
	word = strings.ToLower(word[:min(len(word), 2*maxName)])
	best, distance := "", max(len(word)/3, min(1, len(word)-1))+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := editDistance(word, strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the bytes to insert, drop, replace or swap with their neighbour (optimal string alignment), with
// three rows of the table.
func editDistance(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		older, old, row = old, row, older
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(old[j]+cost, old[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// list is words as a sentence names them: a, b or c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
