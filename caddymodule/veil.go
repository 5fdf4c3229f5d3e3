package caddymodule

import (
	"os"
	"reflect"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/portalgate/portalgate/internal/upstream"
)

// veil is between everybody who writes a log line and the log: the assertion, the name and the address of who asks, and
// what follows a path that is our own, or in which something secret may stand, are not written, at any level and in any
// format (AUD-01). Of an answer that breaks off, and at debug level of every one, reverse_proxy writes all headers that
// the upstream was sent, and Caddy leaves out only those whose names it knows.
//
// A request that is noted with With is written down only when a line is: reverse_proxy notes each one, and hardly ever
// has anything to say about it.
type veil struct {
	zapcore.Core
	prefix upstream.Prefix
	own    string // below which our own pages are, in small letters
	noted  []zapcore.Field
}

// newVeil hides from a log what the headers of that prefix and the pages below that path are asked with.
func newVeil(core zapcore.Core, s settings) *veil {
	return &veil{Core: core, prefix: upstream.NewPrefix(s.headerPrefix), own: strings.ToLower(s.prefix) + "/"}
}

// veilLogs puts a veil before each log of the configuration that is being set up. Handlers get their logs when they
// are set up themselves, and a gate is set up before whatever stands behind it. Caddy keeps the logs to itself, so they
// are reached by their names; false when those have changed, and then nothing is veiled.
func veilLogs(ctx caddy.Context, s settings) bool {
	cfg := reflect.ValueOf(ctx).FieldByName("cfg")
	if !cfg.IsValid() || cfg.Type() != reflect.TypeFor[*caddy.Config]() {
		return false
	}
	if cfg.IsNil() {
		return true // set up outside of a configuration: nothing is logged by it
	}
	logging := cfg.Elem().FieldByName("Logging")
	if logging.IsNil() {
		return false
	}
	for logs := logging.Elem().FieldByName("Logs").MapRange(); logs.Next(); {
		core := logs.Value().Elem().FieldByName("core")
		if !core.IsValid() || core.Type() != reflect.TypeFor[zapcore.Core]() {
			return false
		}
		slot := (*zapcore.Core)(core.Addr().UnsafePointer())
		if *slot == nil {
			return false
		}
		*slot = newVeil(*slot, s)
	}
	return true
}

// veilServers puts a veil before what the HTTP servers say of requests, in the access log and where one failed. They may
// have got their logs before there was one.
func veilServers(app *caddyhttp.App, s settings) {
	veilLogger(app, "logger", s)
	for _, server := range app.Servers {
		veilLogger(server, "errorLogger", s)
		veilLogger(server, "accessLogger", s)
	}
}

func veilLogger(of any, name string, s settings) {
	field := reflect.ValueOf(of).Elem().FieldByName(name)
	if !field.IsValid() || field.Type() != reflect.TypeFor[*zap.Logger]() || field.IsNil() {
		return
	}
	slot := (**zap.Logger)(field.Addr().UnsafePointer())
	*slot = (*slot).WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return newVeil(c, s) }))
}

// proxyLogger is whose lines tell what the upstream is sent.
type proxyLogger struct{}

// CaddyModule names it.
func (proxyLogger) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.reverse_proxy"}
}

// guardLogs veils the logs; where that is not possible, no log may be there that would need it.
func (a *App) guardLogs(s settings) error {
	return judgeLogs(veilLogs(a.ctx, s), a.ctx.Logger(proxyLogger{}))
}

// judgeLogs asks for the highest level at which reverse_proxy writes of a request with all its headers.
func judgeLogs(veiled bool, log *zap.Logger) error {
	if veiled || !log.Core().Enabled(zapcore.ErrorLevel) {
		return nil
	}
	return bad("log", "reverse_proxy writes down who everybody is, with a proof that the upstream believes, and in this release of Caddy that cannot be left out; write `exclude http.handlers.reverse_proxy` into each log")
}

// hidden says whether the header, or the CGI variable, of that name is left out of logs.
func (v *veil) hidden(name string) bool {
	name = strings.TrimPrefix(name, "HTTP_")
	if !v.prefix.Ours(name) {
		return false
	}
	for _, end := range []string{"assertion", "email", "name"} {
		if at := len(name) - len(end); at >= 0 && strings.EqualFold(name[at:], end) {
			return true
		}
	}
	return false
}

// With notes fields for all lines that follow.
func (v *veil) With(fields []zapcore.Field) zapcore.Core {
	switch {
	case len(v.noted) > 0:
		fields = append(v.noted[:len(v.noted):len(v.noted)], fields...)
	case !hasRequest(fields):
		return &veil{Core: v.Core.With(v.over(fields)), prefix: v.prefix, own: v.own}
	}
	return &veil{Core: v.Core, prefix: v.prefix, own: v.own, noted: fields}
}

func hasRequest(fields []zapcore.Field) bool {
	for i := range fields {
		if _, ok := fields[i].Interface.(caddyhttp.LoggableHTTPRequest); ok {
			return true
		}
	}
	return false
}

// Check asks the log whether it wants a line; samplers and filters below have their say.
func (v *veil) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	below := v.Core.Check(e, nil)
	if below == nil {
		return ce
	}
	return ce.AddCore(e, &veiledLine{v, below})
}

// over lays the veil over fields.
func (v *veil) over(fields []zapcore.Field) []zapcore.Field {
	out := make([]zapcore.Field, len(fields))
	for i, f := range fields {
		if o, ok := f.Interface.(zapcore.ObjectMarshaler); ok && (f.Type == zapcore.ObjectMarshalerType || f.Type == zapcore.InlineMarshalerType) {
			f.Interface = veiledObject{v, o}
		} else if f.Type == zapcore.StringType {
			f.String = v.text(f.Key, f.String)
		}
		out[i] = f
	}
	return out
}

// veiledLine is one line that a log wants.
type veiledLine struct {
	*veil
	below *zapcore.CheckedEntry
}

// Write hands the line on. The caller and the stack are known only now.
func (l *veiledLine) Write(e zapcore.Entry, fields []zapcore.Field) error {
	l.below.Entry = e
	l.below.ErrorOutput = zapcore.AddSync(os.Stderr) // where zap complains of a log that cannot be written
	l.below.Write(l.over(append(l.noted[:len(l.noted):len(l.noted)], fields...))...)
	return nil
}

// veiledObject is an object whose fields are seen through the veil.
type veiledObject struct {
	v *veil
	o zapcore.ObjectMarshaler
}

// MarshalLogObject writes it.
func (o veiledObject) MarshalLogObject(to zapcore.ObjectEncoder) error {
	return o.o.MarshalLogObject(veiledEncoder{to, o.v})
}

type veiledEncoder struct {
	zapcore.ObjectEncoder
	v *veil
}

// AddArray writes a header.
func (e veiledEncoder) AddArray(name string, values zapcore.ArrayMarshaler) error {
	if list, ok := values.(caddyhttp.LoggableStringArray); ok && points(name) {
		cut := make(caddyhttp.LoggableStringArray, len(list))
		for i, value := range list {
			cut[i] = withoutQuery(value)
		}
		values = cut
	}
	if e.v.hidden(name) {
		values = caddyhttp.LoggableStringArray{"REDACTED"} // Caddy's own word for what it leaves out
	}
	return e.ObjectEncoder.AddArray(name, values)
}

// AddString writes a CGI variable, or the address that was asked for.
func (e veiledEncoder) AddString(name, value string) {
	if e.v.hidden(name) {
		value = "REDACTED"
	}
	e.ObjectEncoder.AddString(name, e.v.text(name, value))
}

// text is what may be written of an address: a link from a mail has a token in it, and a form that was sent as a query,
// by mistake or to find out what a log keeps, an address and a password.
func (v *veil) text(name, value string) string {
	switch name {
	case "uri", "REQUEST_URI":
		path, query, found := strings.Cut(value, "?")
		switch {
		case !found:
		case strings.Contains(strings.ToLower(path), v.own): // wherever it stands: a proxy's form of the line names a host first
			return path
		case mayBeSecret(query):
			return path + "?REDACTED"
		}
	case "QUERY_STRING":
		if mayBeSecret(value) {
			return "REDACTED"
		}
	default:
		if points(strings.TrimPrefix(name, "HTTP_")) {
			return withoutQuery(value)
		}
	}
	return value
}

// points says whether a header of that name holds the address of another page: the one somebody came from by a link
// with a token, or the one they are sent to, which keeps the way back in its query.
func points(name string) bool {
	return strings.EqualFold(name, "Referer") || strings.EqualFold(name, "Location")
}

func withoutQuery(address string) string {
	if at := strings.IndexAny(address, "?#"); at >= 0 {
		return address[:at] + "?REDACTED"
	}
	return address
}

// mayHoldToken says whether a query, as sent, could have a parameter of that name: an escape may hide it.
func mayHoldToken(query string) bool {
	return strings.Contains(query, "token") || strings.Contains(query, "%")
}

// mayBeSecret says whether a query to the upstream could hold what opens something, or a whole e-mail address.
func mayBeSecret(query string) bool {
	query = strings.ToLower(query)
	return mayHoldToken(query) || strings.Contains(query, "@") || strings.Contains(query, "pass") || strings.Contains(query, "secret")
}

// AddObject writes the object of all headers.
func (e veiledEncoder) AddObject(name string, o zapcore.ObjectMarshaler) error {
	return e.ObjectEncoder.AddObject(name, veiledObject{e.v, o})
}

var _ zapcore.Core = (*veil)(nil)
