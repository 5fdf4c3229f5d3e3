package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Look is one way of looking at a page.
type Look struct {
	Name   string
	Width  int64
	Dark   bool
	Forced bool // the colours are the person's own
	axe    bool
}

// Looks are the ways in which every page is looked at. The checker looks once in each scheme, and in the person's own
// colours; the others are for what sticks out sideways, and for the eye. The last is how a page is left.
var Looks = []Look{
	{Name: "320-light", Width: 320}, {Name: "1280-dark", Width: 1280, Dark: true}, {Name: "768-light", Width: 768},
	{Name: "320-dark", Width: 320, Dark: true, axe: true}, {Name: "1280-forced", Width: 1280, Forced: true, axe: true}, {Name: "1280-light", Width: 1280, axe: true},
}

// Apply makes a page's window so.
func (l Look) Apply(ctx context.Context, t testing.TB) {
	t.Helper()
	scheme, forced := "light", "none"
	if l.Dark {
		scheme = "dark"
	}
	if l.Forced {
		forced = "active"
	}
	err := chromedp.Run(ctx,
		emulation.SetDeviceMetricsOverride(l.Width, 800, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "forced-colors", Value: forced}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	if err != nil {
		t.Fatal("arranging the window: ", err)
	}
}

// Inspect looks at the present page in every way: nothing sticks out sideways, and axe finds nothing to mend at WCAG
// 2.2 A and AA. Where PORTALGATE_SHOTS names a directory, a picture of each look is left there.
func Inspect(ctx context.Context, t testing.TB, name string) {
	t.Helper()
	for _, l := range Looks {
		l.Apply(ctx, t)
		var over bool
		if err := chromedp.Run(ctx, chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &over)); err != nil {
			t.Fatalf("%s, %s: %v", name, l.Name, err)
		}
		if over {
			t.Errorf("%s, %s: the page scrolls sideways", name, l.Name)
		}
		if l.axe {
			for _, v := range Violations(ctx, t) {
				t.Errorf("%s, %s: %s", name, l.Name, v)
			}
		}
		Shot(ctx, t, name+"-"+l.Name)
	}
}

// Violations are what axe finds on the present page.
func Violations(ctx context.Context, t testing.TB) (found []string) {
	t.Helper()
	var there bool
	err := chromedp.Run(ctx, chromedp.Evaluate(`typeof axe === "object"`, &there))
	if err == nil && !there {
		err = chromedp.Run(ctx, chromedp.Evaluate(Axe(t)+`;0`, nil))
	}
	if err == nil {
		err = chromedp.Run(ctx, chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}).then(r =>
			r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.target + " " + (n.any[0] ? n.any[0].message : "")).join(" | ")))`, &found, Awaited))
	}
	if err != nil {
		t.Fatal("asking axe: ", err)
	}
	return found
}

// Shot leaves a picture of the present page in the directory that PORTALGATE_SHOTS names, if it does.
func Shot(ctx context.Context, t testing.TB, name string) {
	t.Helper()
	dir := os.Getenv("PORTALGATE_SHOTS")
	if dir == "" {
		return
	}
	var png []byte
	err := chromedp.Run(ctx, chromedp.FullScreenshot(&png, 100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		t.Fatal("taking a picture: ", err)
	}
}

// Console is what a page said and asked for while it was listened to.
type Console struct {
	mu       sync.Mutex
	said     []string
	hosts    map[string]bool
	received float64
	requests int
}

// Listen begins to listen to a tab. It must come before the navigation that is to be heard.
func Listen(ctx context.Context, t testing.TB) *Console {
	t.Helper()
	c := &Console{hosts: map[string]bool{}}
	chromedp.ListenTarget(ctx, func(ev any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch e := ev.(type) {
		case *log.EventEntryAdded:
			c.said = append(c.said, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		case *runtime.EventExceptionThrown:
			c.said = append(c.said, "exception: "+e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			c.said = append(c.said, "console: "+string(e.Type))
		case *page.EventJavascriptDialogOpening:
			c.said = append(c.said, "dialogue: "+e.Message)
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(e.Request.URL); err == nil && strings.HasPrefix(u.Scheme, "http") {
				c.hosts[u.Host] = true
				c.requests++
			}
		case *network.EventLoadingFinished:
			c.received += e.EncodedDataLength
		}
	})
	if err := chromedp.Run(ctx, log.Enable(), runtime.Enable(), network.Enable(), page.Enable()); err != nil {
		t.Fatal("listening to the page: ", err)
	}
	return c
}

// Said are the lines of the console, policy violations and exceptions included.
func (c *Console) Said() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.said...)
}

// Hosts are all that were asked for anything.
func (c *Console) Hosts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for h := range c.hosts {
		out = append(out, h)
	}
	return out
}

// Received is how much came over the wire, in bytes, headers included, and for how many requests.
func (c *Console) Received() (bytes, requests int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.received), c.requests
}
