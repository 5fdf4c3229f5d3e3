package mail_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/portalgate/portalgate/internal/mail"
)

// zone answers from memory: a name without an entry does not exist, and "?" does not answer.
type zone map[string][]string

func (z zone) ask(kind, name string) (out []string, err error) {
	list, ok := z[kind+" "+strings.TrimSuffix(name, ".")]
	switch {
	case !strings.HasSuffix(name, "."):
		return nil, &net.DNSError{Err: "asked without its final dot, so that a search list may change it", Name: name}
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case slices.Contains(list, "?"):
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return list, nil
}

func (z zone) LookupMX(_ context.Context, name string) (out []*net.MX, err error) {
	list, err := z.ask("mx", name)
	for _, h := range list {
		out = append(out, &net.MX{Host: h, Pref: 10})
	}
	return out, err
}
func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) { return z.ask("txt", name) }
func (z zone) LookupHost(_ context.Context, name string) ([]string, error) {
	return z.ask("a", name)
}

// whole is the zone of a sender with which all is well.
func whole() zone {
	return zone{
		"mx acme.example":                     {"mail.acme.example."},
		"txt acme.example":                    {"google-site-verification=x", "v=spf1 include:sendgrid.net include:amazonses.com -all", "v=spf10 not"},
		"txt sendgrid.net":                    {"v=spf1 ip4:192.0.2.0/24 ~all"},
		"txt amazonses.com":                   {"v=spf1 ip4:198.51.100.0/24 -all"},
		"txt _dmarc.acme.example":             {"v=DMARC1; p=reject; rua=mailto:x@acme.example"},
		"txt s1._domainkey.acme.example":      {"k=rsa; t=s; p=MIGf"},
		"txt default._domainkey.acme.example": {"v=DKIM1; p=MIGf"},
	}
}

func TestADomainIsToldWhatToMendAndNothingIsMissingThatCouldNotBeAsked(t *testing.T) {
	t.Parallel()
	with := func(changes map[string][]string, less ...string) zone {
		z := whole()
		for k, v := range changes {
			z[k] = v
		}
		for _, k := range less {
			delete(z, k)
		}
		return z
	}
	eleven := []string{"v=spf1"}
	deep := map[string][]string{}
	for _, n := range strings.Split("abcdefghijk", "") {
		eleven = append(eleven, "include:"+n+".example")
		deep["txt "+n+".example"] = []string{"v=spf1 -all"}
	}
	deep["txt acme.example"] = []string{strings.Join(append(eleven, "include:sendgrid.net", "include:amazonses.com", "-all"), " ")}
	const ok, note, wrong, unknown = mail.StandsWell, mail.StandsNoted, mail.StandsWrong, mail.StandsUnknown
	for name, c := range map[string]struct {
		zone      zone
		carriers  string
		selectors string
		check     string
		state     mail.StandingState
		add       string
	}{
		"mx":                              {whole(), "ses", "", "mx", ok, ""},
		"no mx":                           {with(map[string][]string{"a acme.example": {"192.0.2.1"}}, "mx acme.example"), "ses", "", "mx", note, "acme.example. MX 10 mail.acme.example."},
		"no mx and no address":            {with(nil, "mx acme.example"), "ses", "", "mx", wrong, "acme.example. MX 10 mail.acme.example."},
		"a null mx":                       {with(map[string][]string{"mx acme.example": {"."}}), "ses", "", "mx", wrong, "acme.example. MX 10 mail.acme.example."},
		"mx not answered":                 {with(map[string][]string{"mx acme.example": {"?"}}), "ses", "", "mx", unknown, ""},
		"address not answered":            {with(map[string][]string{"a acme.example": {"?"}}, "mx acme.example"), "ses", "", "mx", unknown, ""},
		"spf of both":                     {whole(), "ses sendgrid", "", "spf", ok, ""},
		"spf by way of another":           {with(map[string][]string{"txt acme.example": {"v=spf1 include:spf.acme.example ~all"}, "txt spf.acme.example": {"v=spf1 include:sendgrid.net ?all"}}), "sendgrid", "", "spf", ok, ""},
		"spf by redirect":                 {with(map[string][]string{"txt acme.example": {"v=spf1 redirect=amazonses.com"}}), "ses", "", "spf", ok, ""},
		"spf that includes itself":        {with(map[string][]string{"txt acme.example": {"v=spf1 include:acme.example include:amazonses.com -all"}}), "ses", "", "spf", ok, ""},
		"no spf":                          {with(nil, "txt acme.example"), "ses sendgrid", "", "spf", wrong, `acme.example. TXT "v=spf1 include:amazonses.com include:sendgrid.net ~all"`},
		"no spf, and a server of our own": {with(nil, "txt acme.example"), "mail.example", "", "spf", wrong, `acme.example. TXT "v=spf1 a:mail.example ~all"`},
		"two spf":                         {with(map[string][]string{"txt acme.example": {"v=spf1 mx -all", "v=spf1 include:amazonses.com mx ~all"}}), "ses", "", "spf", wrong, `acme.example. TXT "v=spf1 mx include:amazonses.com ~all"`},
		"spf without the provider":        {with(map[string][]string{"txt acme.example": {"v=spf1 mx -all"}}), "ses", "", "spf", wrong, `acme.example. TXT "v=spf1 mx include:amazonses.com -all"`},
		"the same by its server's name":   {with(map[string][]string{"txt acme.example": {"v=spf1 mx"}}), "email-smtp.eu-central-1.amazonaws.com", "", "spf", wrong, `acme.example. TXT "v=spf1 mx include:amazonses.com"`},
		"spf for the whole world":         {with(map[string][]string{"txt acme.example": {"v=spf1 include:amazonses.com +all"}}), "ses", "", "spf", wrong, `acme.example. TXT "v=spf1 include:amazonses.com ~all"`},
		"spf that costs too much":         {with(deep), "ses", "", "spf", wrong, ""},
		"spf not answered":                {with(map[string][]string{"txt acme.example": {"?"}}), "ses", "", "spf", unknown, ""},
		"an include not answered":         {with(map[string][]string{"txt acme.example": {"v=spf1 include:spf.acme.example -all"}, "txt spf.acme.example": {"?"}}), "ses", "", "spf", unknown, ""},
		"spf of a server of our own":      {whole(), "mail.example", "", "spf", note, ""},
		"dmarc":                           {whole(), "ses", "", "dmarc", ok, ""},
		"dmarc of nothing":                {with(map[string][]string{"txt _dmarc.acme.example": {"v=DMARC1; p=none"}}), "ses", "", "dmarc", note, ""},
		"dmarc of nonsense":               {with(map[string][]string{"txt _dmarc.acme.example": {"v=DMARC1; p=yes"}}), "ses", "", "dmarc", wrong, `_dmarc.acme.example. TXT "v=DMARC1; p=none; rua=mailto:postmaster@acme.example"`},
		"no dmarc":                        {with(nil, "txt _dmarc.acme.example"), "ses", "", "dmarc", wrong, `_dmarc.acme.example. TXT "v=DMARC1; p=none; rua=mailto:postmaster@acme.example"`},
		"two dmarc":                       {with(map[string][]string{"txt _dmarc.acme.example": {"v=DMARC1; p=none", "v=DMARC1; p=reject"}}), "ses", "", "dmarc", wrong, ""},
		"dmarc not answered":              {with(map[string][]string{"txt _dmarc.acme.example": {"?"}}), "ses", "", "dmarc", unknown, ""},
		"dkim of sendgrid":                {whole(), "sendgrid", "", "dkim", ok, ""},
		"dkim of a server of our own":     {whole(), "mail.example", "", "dkim", ok, ""},
		"dkim of ses, which is not told":  {whole(), "ses", "", "dkim", note, ""},
		"dkim that was given":             {whole(), "ses", "default", "dkim", ok, ""},
		"dkim that is not there":          {whole(), "ses", "abc", "dkim", wrong, "abc._domainkey.acme.example. CNAME or TXT, as the provider shows it"},
		"dkim withdrawn":                  {with(map[string][]string{"txt s1._domainkey.acme.example": {"v=DKIM1; p="}}), "sendgrid", "", "dkim", wrong, ""},
		"no dkim at the usual names":      {with(nil, "txt s1._domainkey.acme.example"), "sendgrid", "", "dkim", note, ""},
		"dkim not answered":               {with(map[string][]string{"txt s1._domainkey.acme.example": {"?"}}), "sendgrid", "", "dkim", unknown, ""},
	} {
		found := mail.Examine(t.Context(), c.zone, mail.Domain{Name: "acme.example", Carriers: strings.Fields(c.carriers), Selectors: strings.Fields(c.selectors)})
		if !slices.ContainsFunc(found, func(s mail.Standing) bool {
			return s.Check == c.check && s.State == c.state && s.Add == c.add && s.Says != ""
		}) {
			t.Errorf("%s: %+v", name, found)
		}
		for _, s := range found { // of what is asked about nothing else may stand wrong
			if s.Check == c.check && s.State == wrong && c.state != wrong {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}
	sub := whole()
	sub["txt _dmarc.acme.example"] = []string{"v=DMARC1; p=reject; sp=none"}
	found := mail.Examine(t.Context(), sub, mail.Domain{Name: "mail.acme.example", Carriers: []string{"ses"}})
	if !slices.ContainsFunc(found, func(s mail.Standing) bool { return s.Check == "dmarc" && s.State == note }) {
		t.Errorf("a domain below one with a policy: %+v", found)
	}
}

// The same over real packets, with the resolver of the standard library: a name that does not exist, one without such a
// record, and a server that refuses.
func TestWhatDNSAnswersIsUnderstood(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			add := func(body dnsmessage.ResourceBody) {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: body})
			}
			switch q.Type.String() + " " + q.Name.String() {
			case "TypeMX acme.example.":
				add(&dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName("mail.acme.example.")})
			case "TypeTXT acme.example.":
				add(&dnsmessage.TXTResource{TXT: []string{"v=spf1 include:", "amazonses.com -all"}}) // in two pieces
			case "TypeTXT amazonses.com.": // it is there, and has no text
			case "TypeTXT _dmarc.acme.example.":
				m.RCode = dnsmessage.RCodeServerFailure
			default:
				m.RCode = dnsmessage.RCodeNameError
			}
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	var got []string
	for _, s := range mail.Examine(t.Context(), r, mail.Domain{Name: "acme.example", Carriers: []string{"ses"}, Selectors: []string{"abc"}}) {
		got = append(got, s.Check+" "+string(s.State))
	}
	if want := []string{"mx ok", "spf ok", "dmarc unknown", "dkim wrong"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
