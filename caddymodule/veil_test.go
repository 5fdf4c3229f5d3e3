package caddymodule

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func veiled(t *testing.T, level zapcore.Level, wrap func(zapcore.Core) zapcore.Core) (*zap.Logger, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), zapcore.AddSync(&b), level)
	if wrap != nil {
		core = wrap(core)
	}
	return zap.New(newVeil(core, settings{headerPrefix: "X-Portal-", prefix: "/auth"})), &b
}

func toldUpstream(t *testing.T) zap.Field {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://erp/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = "/orders?a=b&token=secret"
	r.Header = http.Header{"X-Portal-Assertion": {"aaa.bbb.secret"}, "X-Portal-User-Email": {"ann@secret.example"}, "X-Portal-User-Name": {"secret"}, "X-Portal-User-Id": {"user-4711"},
		"Cookie": {"secret"}, "Accept": {"text/html"}, "X-Name": {"theirs"}}
	return zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r})
}

// environment is what a FastCGI transport would write down.
type environment map[string]string

func (e environment) MarshalLogObject(to zapcore.ObjectEncoder) error {
	for k, v := range e {
		to.AddString(k, v)
	}
	return nil
}

// AUD-01, at every level: what proves who asks is left out, and nothing else.
func TestALogLeavesOutWhoAsksAndTheProofOfIt(t *testing.T) {
	log, b := veiled(t, zapcore.DebugLevel, nil)
	request := toldUpstream(t)
	log.With(zap.String("upstream", "erp:3000"), request).With(zap.Int("n", 1)).Debug("with")
	log.WithLazy(request).Debug("lazily")
	log.Named("x").Info("in the line", request)
	log.With(zap.Int("n", 2)).Error("env", zap.Object("env", environment{"HTTP_X_PORTAL_ASSERTION": "secret", "HTTP_X_PORTAL_USER_ID": "user-4711", "HTTP_ACCEPT": "text/html", "HTTP_COOKIE_NAME": "theirs"}))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines: %s", len(lines), b)
	}
	for _, line := range lines {
		if strings.Contains(line, "secret") || !strings.Contains(line, "REDACTED") {
			t.Errorf("a secret is written, or nothing is left out: %s", line)
		}
		for _, kept := range []string{"user-4711", "text/html", "theirs"} {
			if !strings.Contains(line, kept) {
				t.Errorf("%s is left out: %s", kept, line)
			}
		}
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if !strings.Contains(lines[0], `"upstream":"erp:3000"`) || !strings.Contains(lines[0], `"n":1`) || !strings.Contains(lines[3], `"n":2`) {
		t.Errorf("what was noted before is lost: %s", b)
	}
}

// AUD-01, LOG-05: what somebody puts into the address of one of our pages is not written, whatever it is called; nor is
// where they came from with it, nor where they are sent. Addresses of the upstream keep a query that says nothing.
func TestALogKeepsOnlyThePathOfOurOwnPages(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"/auth/login?email=ann&password=S3cret-word&code=123456", "/auth/login"},
		{"/auth/login?x=y", "/auth/login"},
		{"/Auth/login?pw=S3cret-word", "/Auth/login"},
		{"//auth/login?pw=S3cret-word", "//auth/login"},
		{"http://acme.example/auth/login?pw=S3cret-word", "http://acme.example/auth/login"},
		{"/auth/login", "/auth/login"},
		{"/orders?page=2", "/orders?page=2"},
		{"/orders?email=ann@buyer.example", "/orders?REDACTED"},
		{"/orders?accessToken=S3cret-word", "/orders?REDACTED"},
		{"/orders?Password=S3cret-word", "/orders?REDACTED"},
		{"/authors?page=2", "/authors?page=2"},
	} {
		log, b := veiled(t, zapcore.DebugLevel, nil)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://acme.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI = c.uri
		r.Header = http.Header{"Referer": {"https://acme.example/auth/reset-password?token=S3cret-word"}}
		answer := caddyhttp.LoggableHTTPHeader{Header: http.Header{"Location": {"/auth/login?return_to=/invoices?key=S3cret-word"}}}
		log.Info("handled request", zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}), zap.Object("resp_headers", answer), zap.String("uri", c.uri))
		log.Info("env", zap.Object("env", environment{"REQUEST_URI": c.uri, "QUERY_STRING": "token=S3cret-word", "HTTP_REFERER": "https://acme.example/?a=S3cret-word#S3cret-word"}))
		if said := b.String(); strings.Contains(said, "S3cret-word") || strings.Contains(said, "123456") || strings.Contains(said, "ann@buyer") {
			t.Errorf("%s is written as %s", c.uri, said)
		}
		if n := strings.Count(b.String(), `"`+c.want+`"`); n != 3 {
			t.Errorf("%s stands %d times in %s", c.want, n, b)
		}
		if !strings.Contains(b.String(), `"https://acme.example/auth/reset-password?REDACTED"`) || !strings.Contains(b.String(), `"/auth/login?REDACTED"`) {
			t.Errorf("pages are not named: %s", b)
		}
	}
}

// A line that is not wanted costs nothing, and a sampler below still has its say.
func TestAVeiledLogWritesAsManyLinesAsItDidBefore(t *testing.T) {
	log, b := veiled(t, zapcore.InfoLevel, func(c zapcore.Core) zapcore.Core { return zapcore.NewSamplerWithOptions(c, time.Hour, 2, 0) })
	asked := log.With(toldUpstream(t))
	asked.Debug("not at this level")
	for range 5 {
		asked.Info("twice")
	}
	if n := strings.Count(b.String(), "twice"); n != 2 || strings.Contains(b.String(), "level") {
		t.Errorf("%d lines: %s", n, b)
	}
	if asked.Core().Enabled(zapcore.DebugLevel) || !asked.Core().Enabled(zapcore.InfoLevel) {
		t.Error("it is of another level than the log")
	}
}

// Caddy keeps its logs to itself: a release that renames them is noticed here, and by whoever builds with it.
func TestThisCaddyLetsItsLogsBeVeiled(t *testing.T) {
	dir := refusalFiles(t)
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(written("admin off", "database postgres://app@127.0.0.1/x\nkeyring "+dir+"/keyring.json", "")), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(adapted, &c); err != nil {
		t.Fatal(err)
	}
	talkative := caddy.BaseLog{Level: "DEBUG", WriterRaw: caddyconfig.JSONModuleObject(map[string]any{"filename": filepath.Join(t.TempDir(), "log")}, "output", "file", nil)}
	c.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: talkative}}}
	if err := caddy.Validate(&c); err != nil {
		t.Fatal(err)
	}

	log, _ := veiled(t, zapcore.InfoLevel, nil)
	quiet, _ := veiled(t, zapcore.FatalLevel, nil)
	if err := judgeLogs(false, log); err == nil || !strings.Contains(err.Error(), "exclude http.handlers.reverse_proxy") {
		t.Errorf("without a veil: %v", err)
	}
	if err := judgeLogs(false, quiet); err != nil {
		t.Errorf("without a veil and without a log: %v", err)
	}
	if veilLogs(caddy.Context{}, settings{headerPrefix: "X-Portal-"}) != true {
		t.Error("a context without a configuration is refused")
	}
}

func TestCredentialsInTheAccessLogAreRefused(t *testing.T) {
	dir := refusalFiles(t)
	said := validated(t, written("admin off\n\tservers {\n\t\tlog_credentials\n\t}", "database postgres://app@127.0.0.1/x\nkeyring "+dir+"/keyring.json", ""))
	if !strings.Contains(said, "log_credentials would write everybody's session into the access log") || !strings.Contains(said, "take it out of `servers { … }`") {
		t.Errorf("said %q", said)
	}
}
