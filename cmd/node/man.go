package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// installedName is what the program is called where it is installed: the pages are for that.
const installedName = "shoal"

func newManCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages to a folder",
		Long: "Write the manual pages, of the commands to DIR/man1 and of the help topics to DIR/man7, for the name\n" +
			installedName + ". With DIR on the MANPATH, `man " + installedName + "` shows them. SOURCE_DATE_EPOCH gives them their date.",
		Args: a.arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := a.writeManual(args[0])
			if err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			if !a.opts.json {
				a.say("wrote %s to %s", count(n, "page"), printable(args[0]))
			}
			return a.result(struct {
				Dir   string `json:"dir"`
				Pages int    `json:"pages"`
			}{absolute(args[0]), n}, func(io.Writer) {})
		},
	}
}

// writeManual writes a page for each command and each topic, and counts them.
func (a *app) writeManual(dir string) (int, error) {
	installed := app{process: a.process}
	installed.name = installedName
	root := installed.rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	header := doc.GenManHeader{Source: installedName + " " + a.version, Manual: "Shoal manual", Section: "1"}
	commands := filepath.Join(dir, "man1")
	if err := os.MkdirAll(commands, 0o755); err != nil {
		return 0, err
	}
	for _, c := range everyCommand(root) {
		c.DisableAutoGenTag = true // it holds the date
		c.Long = asMarkdown(c)
	}
	if err := doc.GenManTree(root, &header, commands); err != nil {
		return 0, err
	}
	if err := writeTopics(root, header, filepath.Join(dir, "man7")); err != nil {
		return 0, err
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man[17]", installedName+"*"))
	return len(pages), err
}

func everyCommand(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, everyCommand(sub)...)
	}
	return all
}

// asMarkdown is the text of a command for the generator, which takes it for Markdown.
func asMarkdown(c *cobra.Command) string {
	if strings.Contains(c.Long, "\n  ") { // it has tables: the lines stay
		return "    " + strings.ReplaceAll(c.Long, "\n", "\n    ")
	}
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`).Replace(c.Long)
}

// writeTopics writes the help topics, whose lines stay as they are.
func writeTopics(root *cobra.Command, header doc.GenManHeader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range root.Commands() {
		if !c.IsAdditionalHelpTopicCommand() {
			continue
		}
		name := installedName + "-" + c.Name()
		page := fmt.Sprintf(".TH %q 7 \"\" %q %q\n.SH NAME\n%s \\- %s\n.SH DESCRIPTION\n.nf\n%s.fi\n",
			strings.ToUpper(name), header.Source, header.Manual, roff(name), roff(c.Short), roff(c.Long))
		if err := os.WriteFile(filepath.Join(dir, name+".7"), []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// roff is text whose lines are not taken for requests.
func roff(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, `\`, `\e`), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "-", `\-`)
}
