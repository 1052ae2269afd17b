package merge

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxName = 255 // bytes: what dag.CheckName allows

	// maxExt is the longest extension that is kept behind the mark, bytes with the dot: longer ones in use are
	// rare, and what follows a dot in a sentence is none.
	maxExt = 16

	maxWriter = 16 // leaves more than 190 bytes to the name beside the mark, the extension and a number
)

// isWriter tells whether s may stand in the name of a copy.
func isWriter(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= maxWriter
}

// copyName is the name of a copy: name.ext becomes name.conflict-<writer>-<seq>.ext, and with another number than 1
// name.conflict-<writer>-<seq>-<number>.ext. The extension begins at the last dot, unless only dots are before it
// or it is longer than maxExt. Where the whole would be longer than maxName, the end of what is before the mark
// is cut off, between two characters.
func copyName(name, writer string, seq uint64, number int) string {
	stem, ext := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && strings.Trim(name[:dot], ".") != "" && len(name)-dot <= maxExt {
		stem, ext = name[:dot], name[dot:]
	}
	mark := fmt.Sprintf(".conflict-%s-%d", writer, seq)
	if number > 1 {
		mark += fmt.Sprintf("-%d", number)
	}
	if room := maxName - len(mark) - len(ext); len(stem) > room {
		for !utf8.RuneStart(stem[room]) {
			room--
		}
		stem = stem[:room]
	}
	return stem + mark + ext
}
