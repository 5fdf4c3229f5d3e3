package testenv

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/portalgate/portalgate/internal/demo/npm"
	"github.com/portalgate/portalgate/internal/demo/servers"
)

// Browser returns a browser of this test's own, as the context that chromedp's actions run in. Every host name leads to
// this machine, so a test can use the names that people would, and cannot reach anybody else. More flags are given as
// name or name=value.
//
// At the end of the test the browser is closed and waited for; one that stays behind fails the test.
func Browser(t testing.TB, flags ...string) context.Context {
	t.Helper()
	program, found := servers.Find(servers.Chromium)
	if !found {
		Missing(t, "no browser is installed (chromium, or the path in CHROME); this installs one: "+servers.Advice(servers.Chromium))
	}
	profile, err := os.MkdirTemp("", "portalgate-browser-") // not t.TempDir: that would complain about files the browser still writes
	if err != nil {
		t.Fatal("making the browser's directory: ", err)
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.DisableGPU,
		chromedp.NoSandbox, // it needs privileges that a container does not have; the pages are ours
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter"),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		chromedp.WSURLReadTimeout(time.Minute),
		chromedp.WindowSize(1280, 800),
	}
	for _, f := range flags {
		name, value, given := strings.Cut(f, "=")
		if given {
			options = append(options, chromedp.Flag(name, value))
		} else {
			options = append(options, chromedp.Flag(name, true))
		}
	}
	ctx, cancelTime := context.WithTimeout(context.Background(), 5*time.Minute)
	ctx, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closing, done := context.WithTimeout(ctx, 20*time.Second)
		err := chromedp.Cancel(closing)
		done()
		cancel()
		cancelAllocator()
		cancelTime()
		if err != nil && !strings.Contains(err.Error(), "invalid context") { // a browser that never started
			t.Log("closing the browser: ", err)
		}
		if left := leftOver(profile); left != "" {
			t.Error("the browser is still there: ", left)
		}
		_ = os.RemoveAll(profile)
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal("starting the browser: ", err)
	}
	return ctx
}

// Tab returns another tab of the same browser, sharing its cookies.
func Tab(t testing.TB, browser context.Context) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal("opening a tab: ", err)
	}
	return ctx
}

// Awaited makes chromedp.Evaluate wait for the promise that an expression yields, and take its value.
func Awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams {
	return p.WithAwaitPromise(true).WithReturnByValue(true)
}

// leftOver names a process of the browser that outlives it; it looks for a few seconds, because they end one by one.
func leftOver(profile string) string {
	if goruntime.GOOS != "linux" {
		return ""
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for {
		found := mentioning(profile)
		if found == "" {
			return ""
		}
		select {
		case <-tick.C:
		case <-end:
			return found
		}
	}
}

func mentioning(path string) string {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return ""
	}
	for _, name := range lines {
		b, err := os.ReadFile(name)
		if err == nil && bytes.Contains(b, []byte(path)) {
			return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		}
	}
	return ""
}

// Axe returns the source of axe-core, the accessibility checker, to be evaluated in a page. PORTALGATE_AXE names the
// file; else it is the one that `go run ./cmd/dev setup` fetched.
func Axe(t testing.TB) string {
	t.Helper()
	file := os.Getenv("PORTALGATE_AXE")
	if file == "" {
		home, _ := npm.AxeCore.Home()
		file = filepath.Join(home, "axe.min.js")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		Missing(t, "axe-core is not here; this fetches it: go run ./cmd/dev setup")
	}
	return string(b)
}
