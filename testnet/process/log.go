package process

import (
	"os"
	"strings"
)

// LastLog is the end of a node's log in whole lines, or why there is none.
func LastLog(path string) string {
	const enough = 2000 // bytes: some lines tell why, and a crash's trace begins with what matters less
	b, err := tail(path, enough)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// tail is the end of a file, at most size bytes of it and beginning with a line.
func tail(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, st.Size()))
	if _, err := f.ReadAt(b, st.Size()-int64(len(b))); err != nil {
		return nil, err
	}
	if int64(len(b)) < st.Size() {
		_, rest, _ := strings.Cut(string(b), "\n")
		return []byte(rest), nil
	}
	return b, nil
}
