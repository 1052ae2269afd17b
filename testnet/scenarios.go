package testnet

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/shoal-p2p/shoal/testnet/script"
)

//go:embed scenarios/*.txt
var scenarioFiles embed.FS

// Scenario is a script that comes with the program.
type Scenario struct {
	Name  string
	About string // what it teaches
	Text  []byte
}

// Scenarios lists the scripts that come with the program, by name.
func Scenarios() []Scenario {
	files, err := fs.Glob(scenarioFiles, "scenarios/*.txt")
	if err != nil {
		return nil // the pattern is a constant
	}
	var all []Scenario
	for _, f := range files {
		text, err := scenarioFiles.ReadFile(f)
		if err != nil {
			continue // it was listed: it is there
		}
		s := Scenario{Name: strings.TrimSuffix(path.Base(f), ".txt"), Text: text}
		if sc, err := script.Parse(s.Name, text); err == nil { // a test parses them all
			s.About = sc.About
		}
		all = append(all, s)
	}
	return all
}

// ErrNoScenario: no script of that name comes with the program.
var ErrNoScenario = errors.New("no such scenario")

// Named is the script of that name; ErrNoScenario if there is none.
func Named(name string) (Scenario, error) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("%q: %w", name, ErrNoScenario)
}
