package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Resolver answers questions about names, as a *net.Resolver does.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupHost(ctx context.Context, name string) ([]string, error)
}

// Domain is the domain of a sender, and who carries its mail: `ses`, `sendgrid`, `capture`, or the host of a server.
type Domain struct {
	Name      string
	Carriers  []string
	Selectors []string // of its DKIM keys; none: those that are usual with its carriers
}

// Standing is one of the things by which other mail servers judge a sender.
type Standing struct {
	Check string        `json:"check"`
	State StandingState `json:"state"`
	Says  string        `json:"says"`
	Add   string        `json:"add,omitempty"` // the record that mends it, as a line of a zone file
}

// StandingState is how it stands.
type StandingState string

// The states. What could not be asked is never taken for missing.
const (
	StandsWell    StandingState = "ok"
	StandsNoted   StandingState = "note"
	StandsWrong   StandingState = "wrong"
	StandsUnknown StandingState = "unknown"
)

// askWait bounds one question to DNS.
const askWait = 5 * time.Second

// exam is one domain being looked at.
type exam struct {
	Domain
	r     Resolver
	found []Standing
}

// Examine says how a domain stands with other mail servers, as far as DNS tells.
func Examine(ctx context.Context, r Resolver, d Domain) []Standing {
	e := exam{Domain: d, r: r}
	e.mx(ctx)
	e.spf(ctx)
	e.dmarc(ctx)
	e.dkim(ctx)
	return e.found
}

func (e *exam) add(check string, state StandingState, record, format string, args ...any) {
	e.found = append(e.found, Standing{check, state, fmt.Sprintf(format, args...), record})
}

func (e *exam) unknown(check, name string, err error) {
	e.add(check, StandsUnknown, "", "could not ask for %s: %s", name, oneLine(err.Error()))
}

// absent says whether DNS has answered that there is nothing. Any other error means that it has not answered.
func absent(err error) bool {
	var said *net.DNSError
	return errors.As(err, &said) && said.IsNotFound
}

// txt are the texts at a name that begin with a tag.
func (e *exam) txt(ctx context.Context, name, tag string) (out []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	all, err := e.r.LookupTXT(ctx, name+".")
	if absent(err) {
		return nil, nil
	}
	for _, s := range all {
		first, _, _ := strings.Cut(strings.TrimSpace(s), ";")
		words := strings.Fields(first)
		if tag == "" || len(words) > 0 && strings.EqualFold(words[0], tag) {
			out = append(out, strings.TrimSpace(s))
		}
	}
	return out, err
}

// mx looks whether answers and bounces find a mailbox: many servers take no mail from a domain that takes none.
func (e *exam) mx(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	list, err := e.r.LookupMX(ctx, e.Name+".")
	record := fmt.Sprintf("%[1]s. MX 10 mail.%[1]s.", e.Name)
	switch {
	case err != nil && !absent(err):
		e.unknown("mx", e.Name, err)
		return
	case len(list) == 1 && list[0].Host == ".": // RFC 7505
		e.add("mx", StandsWrong, record, "%s says that it takes no mail at all; servers that read so take none from it either, and no bounce arrives. Name the server that has its mailboxes", e.Name)
		return
	case len(list) > 0:
		e.add("mx", StandsWell, "", "bounces and answers go to %s", strings.TrimSuffix(list[0].Host, "."))
		return
	}
	hosts, err := e.r.LookupHost(ctx, e.Name+".")
	switch {
	case err != nil && !absent(err):
		e.unknown("mx", e.Name, err)
	case len(hosts) > 0:
		e.add("mx", StandsNoted, record, "%s has no MX record; bounces and answers go to its own address, which is right where a mail server is there", e.Name)
	default:
		e.add("mx", StandsWrong, record, "%s has neither an MX record nor an address: no bounce and no answer arrives, and servers refuse mail from such a domain. Name the server that has its mailboxes", e.Name)
	}
}

// mostLookups is how many further questions an SPF record may cost (RFC 7208 section 4.6.4).
const mostLookups = 10

// included is what a carrier wants to stand in the sender's SPF record; empty when that is not known.
func included(carrier string) string {
	switch {
	case carrier == "ses", strings.HasPrefix(carrier, "email-smtp.") && strings.HasSuffix(carrier, ".amazonaws.com"):
		return "amazonses.com"
	case carrier == "sendgrid", carrier == "smtp.sendgrid.net", carrier == "smtp.eu.sendgrid.net":
		return "sendgrid.net"
	}
	return ""
}

// permits are the terms by which an SPF record lets the carriers send.
func (e *exam) permits() (out []string) {
	for _, c := range e.Carriers {
		term := "a:" + c
		if in := included(c); in != "" {
			term = "include:" + in
		}
		if c != "capture" && !slices.Contains(out, term) {
			out = append(out, term)
		}
	}
	return out
}

func (e *exam) spf(ctx context.Context) {
	records, err := e.txt(ctx, e.Name, "v=spf1")
	line := func(terms []string) string { return fmt.Sprintf("%s. TXT %q", e.Name, strings.Join(terms, " ")) }
	switch {
	case err != nil:
		e.unknown("spf", e.Name, err)
		return
	case len(records) == 0:
		e.add("spf", StandsWrong, line(append(append([]string{"v=spf1"}, e.permits()...), "~all")), "%s has no SPF record, so that nobody can see who may send for it. Add one", e.Name)
		return
	case len(records) > 1:
		terms := []string{"v=spf1"}
		for _, r := range records {
			for _, term := range strings.Fields(r)[1:] {
				if !slices.Contains(terms, term) && !isAll(term) {
					terms = append(terms, term)
				}
			}
		}
		e.add("spf", StandsWrong, line(append(terms, "~all")), "%s has %d SPF records, which counts as none that can be read. Leave one, with what all of them say", e.Name, len(records))
		return
	}
	w := spfWalk{exam: e, seen: map[string]bool{}}
	w.walk(ctx, records[0])
	terms := strings.Fields(records[0])
	before := len(e.found)
	if i := slices.IndexFunc(terms, isAll); i >= 0 && (terms[i] == "all" || terms[i] == "+all") {
		mended := slices.Clone(terms)
		mended[i] = "~all"
		e.add("spf", StandsWrong, line(mended), "the SPF record of %s ends in %s: the whole world may send in its name", e.Name, terms[i])
	}
	if w.asked > mostLookups {
		e.add("spf", StandsWrong, "", "the SPF record of %s costs more than %d lookups, at which servers give up and take it for broken. Take out an include that is not needed", e.Name, mostLookups)
	}
	for _, c := range e.Carriers {
		in := included(c)
		if in == "" || w.seen[in] {
			continue
		}
		if w.err != nil {
			e.unknown("spf", "all that the record of "+e.Name+" includes", w.err)
			break
		}
		mended := slices.Clone(terms)
		at := slices.IndexFunc(mended, func(s string) bool { return isAll(s) || strings.HasPrefix(strings.ToLower(s), "redirect=") })
		if at < 0 {
			at = len(mended)
		}
		e.add("spf", StandsWrong, line(slices.Insert(mended, at, "include:"+in)), "the SPF record of %s does not let %s send. Change it", e.Name, c)
	}
	if len(e.found) == before {
		e.add("spf", StandsWell, "", "%s", records[0])
	}
	for _, c := range e.Carriers {
		if included(c) == "" && c != "capture" {
			e.add("spf", StandsNoted, "", "whether it lets %s send cannot be seen from outside: whoever runs that server knows from which addresses it sends", c)
		}
	}
}

// isAll says whether a term decides about everybody who is left.
func isAll(term string) bool { return strings.EqualFold(strings.TrimLeft(term, "+-~?"), "all") }

// spfWalk follows what an SPF record includes.
type spfWalk struct {
	*exam
	seen  map[string]bool
	asked int
	err   error // of what could not be asked
}

func (w *spfWalk) walk(ctx context.Context, record string) {
	for _, term := range strings.Fields(record)[1:] {
		term = strings.ToLower(strings.TrimLeft(term, "+-~?"))
		name, other := strings.CutPrefix(term, "include:")
		if !other {
			name, other = strings.CutPrefix(term, "redirect=")
		}
		kind, _, _ := strings.Cut(term, ":")
		kind, _, _ = strings.Cut(kind, "/")
		if other || slices.Contains([]string{"a", "mx", "ptr", "exists"}, kind) {
			w.asked++
		}
		if !other || strings.Contains(name, "%") { // a macro depends on each mail
			continue
		}
		known := w.seen[name]
		if w.seen[name] = true; known || w.asked > mostLookups {
			continue
		}
		records, err := w.txt(ctx, name, "v=spf1")
		if err != nil {
			w.err = err
		}
		if len(records) == 1 {
			w.walk(ctx, records[0])
		}
	}
}

// tag is the value of a tag of a DMARC or DKIM record.
func tag(record, name string) (string, bool) {
	for _, part := range strings.Split(record, ";") {
		k, v, ok := strings.Cut(part, "=")
		if ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}

// dmarc looks for the policy of the domain, or of the one above it.
func (e *exam) dmarc(ctx context.Context) {
	record := fmt.Sprintf(`_dmarc.%[1]s. TXT "v=DMARC1; p=none; rua=mailto:postmaster@%[1]s"`, e.Name)
	for name := e.Name; strings.Contains(name, "."); _, name, _ = strings.Cut(name, ".") {
		records, err := e.txt(ctx, "_dmarc."+name, "v=DMARC1")
		switch {
		case err != nil:
			e.unknown("dmarc", "_dmarc."+name, err)
			return
		case len(records) > 1:
			e.add("dmarc", StandsWrong, "", "_dmarc.%s has %d DMARC records, which counts as none. Leave one", name, len(records))
			return
		case len(records) == 0:
			continue
		}
		policy, _ := tag(records[0], "p")
		if sp, ok := tag(records[0], "sp"); ok && name != e.Name {
			policy = sp
		}
		switch strings.ToLower(policy) {
		case "quarantine", "reject":
			e.add("dmarc", StandsWell, "", "_dmarc.%s: %s what does not prove to be from %s", name, strings.ToLower(policy), e.Name)
		case "none":
			e.add("dmarc", StandsNoted, "", "_dmarc.%s: p=none counts, and protects nobody from forged mails; when the reports show that all of yours pass, say p=quarantine", name)
		default:
			e.add("dmarc", StandsWrong, record, "_dmarc.%s says neither none, quarantine nor reject. Change it", name)
		}
		return
	}
	e.add("dmarc", StandsWrong, record, "%s has no DMARC record, which large providers ask for. Add one; p=none changes nothing but that reports come", e.Name)
}

// usual are the selectors that a carrier's customers have.
func usual(carrier string) []string {
	switch included(carrier) {
	case "amazonses.com":
		return nil // three names for each customer, that nobody can guess
	case "sendgrid.net":
		return []string{"s1", "s2"}
	}
	return []string{"default", "mail", "dkim", "selector1", "selector2", "google", "k1"}
}

func (e *exam) dkim(ctx context.Context) {
	given := len(e.Selectors) > 0
	names := e.Selectors
	for _, c := range e.Carriers {
		if !given && c != "capture" {
			names = append(names, usual(c)...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	keys, could := 0, true
	for _, selector := range names {
		at := selector + "._domainkey." + e.Name
		records, err := e.txt(ctx, at, "")
		key, has := "", false
		if len(records) > 0 {
			key, has = tag(strings.Join(records, ""), "p")
		}
		switch {
		case err != nil:
			could = false
			e.unknown("dkim", at, err)
		case has && key == "":
			e.add("dkim", StandsWrong, "", "%s: the key is withdrawn (p= is empty). Have the mail signed with another one, or write the key there again", at)
		case has:
			keys++
			e.add("dkim", StandsWell, "", "%s has a key", at)
		case given:
			e.add("dkim", StandsWrong, at+". CNAME or TXT, as the provider shows it", "%s has no key. The provider that signs shows the record for this name in its console", at)
		}
	}
	if keys > 0 || given || !could || !slices.ContainsFunc(e.Carriers, func(c string) bool { return c != "capture" }) {
		return
	}
	if len(names) == 0 {
		e.add("dkim", StandsNoted, "", "the names of the keys of %s cannot be guessed: look for three CNAME records in the SES console, and give them with --selector", e.Name)
		return
	}
	e.add("dkim", StandsNoted, "", "no key at the usual names of %s (%s). If it has others, give them with --selector; if it has none, let the provider sign in its name", e.Name, strings.Join(names, ", "))
}
