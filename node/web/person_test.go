package web_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// person is somebody in front of one tab.
type person struct {
	t    *testing.T
	ctx  context.Context
	site string
	name string

	mu       sync.Mutex // guards the rest
	said     []string
	requests []string
}

// visit opens a tab and signs it in with a link.
func visit(t *testing.T, ctx context.Context, l *living, name string) *person {
	t.Helper()
	p := &person{t: t, ctx: ctx, site: l.site.URL(), name: name}
	p.do(chromedp.EmulateViewport(1280, 900))
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	link, err := l.site.LoginURL()
	if err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(link))
	p.wait(`document.querySelector('[data-testid=headline]')`)
	return p
}

func (p *person) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		p.said = append(p.said, fmt.Sprint(ev.Type))
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
		p.said = append(p.said, text)
	case *log.EventEntryAdded:
		p.said = append(p.said, ev.Entry.Text+" "+ev.Entry.URL)
	case *page.EventJavascriptDialogOpening:
		p.said = append(p.said, "dialog "+ev.Message)
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, ev.Request.URL)
	}
}

// quiet checks that the console is empty and that nothing was asked of anybody else.
func (p *person) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.said) > 0 {
		p.t.Errorf("%s: the console is not empty: %q", p.name, p.said)
	}
	if len(p.requests) == 0 {
		p.t.Errorf("%s: no requests were seen", p.name)
	}
	for _, r := range p.requests {
		if !strings.HasPrefix(r, p.site+"/") {
			p.t.Errorf("%s: the page asked for %s", p.name, r)
		}
	}
}

// asked tells whether a request of the page had an address that ends so.
func (p *person) asked(part string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.requests, func(r string) bool { return strings.HasSuffix(r, part) })
}

func (p *person) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.fatal(err)
	}
}

func (p *person) fatal(err error) {
	p.t.Helper()
	p.shoot("failed")
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Fatalf("%s: %v\nconsole %q\n%s", p.name, err, p.said, text)
}

// wait is until a condition in the page is true.
func (p *person) wait(condition string) {
	p.t.Helper()
	// A page that is being replaced by the next one takes what is asked of it along.
	for giveUp := time.Now().Add(patience); ; {
		err := p.poll(condition)
		if err == nil {
			return
		}
		replaced := strings.Contains(err.Error(), "context with specified id") || strings.Contains(err.Error(), "navigated")
		if !replaced || time.Now().After(giveUp) {
			p.fatal(fmt.Errorf("wait for %s: %w", condition, err))
		}
	}
}

func (p *person) poll(condition string) error {
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	return err
}

func read[T any](p *person, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.fatal(err)
	}
	return v
}

func mark(id string) string { return `[data-testid="` + id + `"]` }

func (p *person) text(id string) string {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector('%s')", mark(id)))
	return read[string](p, fmt.Sprintf("document.querySelector('%s').textContent", mark(id)))
}

func (p *person) has(id, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector('%s')?.textContent.includes(%q)", mark(id), text))
}

func (p *person) click(id string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector('%s:not(:disabled)')", mark(id)))
	p.do(chromedp.Click(chromedp.CSS(mark(id))))
}

func (p *person) write(id, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("document.querySelector('%s')", mark(id)))
	read[bool](p, fmt.Sprintf("(document.querySelector('%s').select(), true)", mark(id)))
	if text == "" {
		text = "\b"
	}
	p.do(chromedp.SendKeys(chromedp.CSS(mark(id)), text))
}

// open goes to a page of the dashboard by its address.
func (p *person) open(hash string) {
	p.t.Helper()
	read[string](p, fmt.Sprintf("location.hash = %q", "#/"+hash))
	p.wait("document.querySelector('main h1')")
}

func (p *person) shoot(what string) {
	dir := os.Getenv(shots)
	if dir == "" {
		return
	}
	_, _ = chromedp.Run(p.ctx, chromedp.Evaluate[bool](`(scrollTo(0, 0), true)`))
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Log(err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, p.name+"-"+what+".png"), png, 0o644); err != nil {
		p.t.Log(err)
	}
}
