package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Write makes dir if need be and writes report.json, junit.xml and report.html into it, each of which is there as a whole
// or as it was before. It returns the path of the HTML file. It goes on after an error, so that one that cannot be
// written does not cost the others, and returns the first.
func Write(dir string, t trace.Trace) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("write report: %w", err)
	}
	path := filepath.Join(dir, "report.html")
	var failed error
	for _, f := range []struct {
		path   string
		format func(io.Writer, trace.Trace) error
	}{{filepath.Join(dir, "report.json"), JSON}, {filepath.Join(dir, "junit.xml"), JUnit}, {path, HTML}} {
		var b bytes.Buffer
		err := f.format(&b, t)
		if err == nil {
			err = maybe.WriteFile(f.path, b.Bytes(), 0o644)
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("write report: %w", err)
		}
	}
	return path, failed
}
