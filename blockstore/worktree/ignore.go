package worktree

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxIgnoreFile bounds an ignore file (bytes): real ones have a few KiB.
const maxIgnoreFile = 1 << 20

// rule is one pattern of an ignore file.
type rule struct {
	re       *regexp.Regexp
	negate   bool // "!": what it matches is taken back in
	dirOnly  bool // trailing slash
	anchored bool // matched against the path from the file's folder, else against the name alone
}

// ignoreRules are the ignore files that apply in a folder: its own and, through up, those above. They
// follow gitignore(5): the deepest file decides, in it the last pattern that matches. Nothing below an
// ignored folder is ever asked for, so a pattern cannot take it back in, as in git.
type ignoreRules struct {
	up    *ignoreRules
	base  string // folder of the ignore file, relative to the root
	rules []rule
}

// ignored tells whether the entry name of folder dir is left out.
func (r *ignoreRules) ignored(dir, name string, isDir bool) bool {
	if dir == "" && strings.EqualFold(name, TempDir) {
		return true
	}
	full := join(dir, name)
	for ; r != nil; r = r.up {
		rel := full
		if r.base != "" {
			rel = full[len(r.base)+1:]
		}
		for i := len(r.rules) - 1; i >= 0; i-- {
			if r.rules[i].matches(rel, name, isDir) {
				return !r.rules[i].negate
			}
		}
	}
	return false
}

func (p rule) matches(rel, name string, isDir bool) bool {
	if p.dirOnly && !isDir {
		return false
	}
	if p.anchored {
		return p.re.MatchString(rel)
	}
	return p.re.MatchString(name)
}

// with returns the rules that apply in folder base, whose ignore file has this text.
func (r *ignoreRules) with(base, text string) *ignoreRules {
	own := &ignoreRules{up: r, base: base}
	text = strings.TrimPrefix(text, "\ufeff")
	for line := range strings.SplitSeq(text, "\n") {
		if p, ok := parseRule(strings.TrimSuffix(line, "\r")); ok {
			own.rules = append(own.rules, p)
		}
	}
	if len(own.rules) == 0 {
		return r
	}
	return own
}

// parseRule reads one line; not ok for blank lines, comments and patterns that can match nothing.
func parseRule(line string) (rule, bool) {
	if strings.HasPrefix(line, "#") {
		return rule{}, false
	}
	var p rule
	line = trimBlanks(line)
	line, p.negate = strings.CutPrefix(line, "!")
	line, p.dirOnly = strings.CutSuffix(line, "/")
	if line == "" {
		return rule{}, false
	}
	p.anchored = strings.Contains(line, "/")
	expr, ok := globExpr(strings.TrimPrefix(line, "/"))
	if !ok {
		return rule{}, false
	}
	var err error
	p.re, err = regexp.Compile(`(?s)\A` + expr + `\z`)
	return p, err == nil
}

// trimBlanks removes trailing spaces but for one that a backslash protects.
func trimBlanks(line string) string {
	end := len(line)
	for end > 0 && line[end-1] == ' ' {
		end--
	}
	slashes := 0
	for slashes < end && line[end-1-slashes] == '\\' {
		slashes++
	}
	if end < len(line) && slashes%2 == 1 {
		end++
	}
	return line[:end]
}

// globExpr translates a git pattern into a regular expression. "**" is special only as a whole path
// component. "?" is one character where git takes one byte.
func globExpr(glob string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(glob); {
		atStart := i == 0 || glob[i-1] == '/'
		switch c := glob[i]; {
		case atStart && strings.HasPrefix(glob[i:], "**/"):
			b.WriteString(`(?:[^/]+/)*`)
			i += 3
		case atStart && glob[i:] == "**":
			b.WriteString(`.+`)
			i += 2
		case c == '*':
			b.WriteString(`[^/]*`)
			i++
		case c == '?':
			b.WriteString(`[^/]`)
			i++
		case c == '[':
			class, n := classExpr(glob[i:])
			if n == 0 {
				return "", false
			}
			b.WriteString(class)
			i += n
		default:
			if c == '\\' {
				if i++; i == len(glob) {
					return "", false
				}
			}
			_, n := utf8.DecodeRuneInString(glob[i:])
			b.WriteString(regexp.QuoteMeta(glob[i : i+n]))
			i += n
		}
	}
	return b.String(), true
}

// classExpr translates the bracket expression at the start of s and returns the bytes it took; 0 if it
// never ends.
func classExpr(s string) (string, int) {
	var b strings.Builder
	i := 1
	b.WriteByte('[')
	if i < len(s) && (s[i] == '!' || s[i] == '^') {
		b.WriteString("^/") // a class never matches the separator
		i++
	}
	for first := true; i < len(s); first = false {
		switch c := s[i]; {
		case c == ']' && !first:
			b.WriteByte(']')
			return b.String(), i + 1
		case c == '[' && i+1 < len(s) && s[i+1] == ':':
			end := strings.Index(s[i:], ":]")
			if end < 0 {
				return "", 0
			}
			b.WriteString(s[i : i+end+2])
			i += end + 2
		case c == '/':
			i++ // the separator is matched by no class, even if it stands in one
		case c == '-' && !first && i+1 < len(s) && s[i+1] != ']':
			b.WriteByte('-') // between two characters: a range
			i++
		default:
			if c == '\\' {
				if i++; i == len(s) {
					return "", 0
				}
			}
			_, n := utf8.DecodeRuneInString(s[i:])
			if strings.Contains(`\]^[-`, s[i:i+n]) {
				b.WriteByte('\\')
			}
			b.WriteString(s[i : i+n])
			i += n
		}
	}
	return "", 0
}
