package caddymodule

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// Mail says how mail leaves, and from whom.
type Mail struct {
	// The sender, as in a From header: an address, or a name and an address in angle brackets. Required.
	From string `json:"from,omitempty"`
	// Where answers go. Default: to the sender.
	ReplyTo string `json:"reply_to,omitempty"`
	// A directory with files that take the place of those built in: `layout.html`, `layout.txt`, and texts by language such
	// as `de.json`; `portalgate mail preview` shows, with `--overlay`, what comes of them. They are read when the configuration is
	// loaded. Default: none.
	Templates string `json:"templates,omitempty"`
	// Who carries it: a module of `portalgate.mail.*`, named by its key `provider`. In the Caddyfile a subdirective with
	// the provider's name, such as `smtp`. Required.
	Sender json.RawMessage `json:"sender,omitempty" caddy:"namespace=portalgate.mail inline_key=provider"`
	// What is different for tenants, by slug. Default: nothing.
	Tenants map[string]*MailChoice `json:"tenants,omitempty"`
	// What is different for the tenants of a region, by its name. Default: nothing.
	Regions map[string]*MailChoice `json:"regions,omitempty"`
}

// MailChoice is what is different for some tenants.
type MailChoice struct {
	// Their sender. Default: everybody's.
	From string `json:"from,omitempty"`
	// Where answers to them go. Default: everybody's, or to a sender of their own.
	ReplyTo string `json:"reply_to,omitempty"`
	// Who carries their mail. Default: who carries everybody's.
	Sender json.RawMessage `json:"sender,omitempty" caddy:"namespace=portalgate.mail inline_key=provider"`
}

const mailNamespace = "portalgate.mail"

// mailTally outlives every configuration: counters that begin anew with a reload cannot be added up.
var mailTally mail.Tally

// post is how mail leaves: who carries it, and from whom it comes.
type post struct {
	mail.Sender
	from    from
	tenants map[string]from
	regions map[string]from
	press   *mail.Press // nil: what is built in
}

type from struct{ from, replyTo mail.Address }

// From is a tenant's sender, and where answers go; zero: to the sender.
func (p *post) From(n *portal.Tenant) (sender, replyTo mail.Address) {
	f, ok := p.tenants[n.Slug]
	if !ok && n.Region != "" {
		f, ok = p.regions[n.Region]
	}
	if !ok {
		f = p.from
	}
	return f.from, f.replyTo
}

// post loads the guests and judges the addresses. It dials nothing. Its error is complaints.
func (m *Mail) post(ctx caddy.Context, literals bool) (*post, error) {
	var wrong complaints
	route := &mail.Route{Tenants: map[string]mail.Sender{}, Regions: map[string]mail.Sender{}}
	p := &post{Sender: route, tenants: map[string]from{}, regions: map[string]from{}}
	if m.From == "" || m.Sender == nil {
		wrong.add(bad("mail", "needs `from` and somebody who carries it, such as `smtp host:587`"))
	}
	p.from = readFrom("mail", m.From, m.ReplyTo, from{}, &wrong)
	route.Default = loadSender(ctx, m, m.Sender, "mail", literals, &wrong)
	for kind, all := range map[string]map[string]*MailChoice{"tenant": m.Tenants, "region": m.Regions} {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			c, at := all[name], "mail "+kind+" "+name
			f := readFrom(at, c.From, c.ReplyTo, p.from, &wrong)
			s := route.Default
			if c.Sender != nil {
				s = loadSender(ctx, c, c.Sender, at, literals, &wrong)
			}
			if kind == "tenant" {
				p.tenants[name], route.Tenants[name] = f, s
			} else {
				p.regions[name], route.Regions[name] = f, s
			}
		}
	}
	p.press = readTemplates(m.Templates, &wrong)
	return p, wrong.err()
}

// readTemplates reads the directory that lies over the built-in files.
func readTemplates(dir string, wrong *complaints) *mail.Press {
	if dir == "" {
		return nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		wrong.add(bad("mail templates", "%s is not a directory that can be read; make one with the files that shall differ", dir))
		return nil
	}
	p, err := mail.NewPress(os.DirFS(dir))
	if err == nil {
		return p
	}
	list := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		list = several.Unwrap()
	}
	for _, one := range list {
		wrong.add(bad("mail templates", "in %s: %v", dir, one))
	}
	return nil
}

// readFrom reads the two addresses, where they are given.
func readFrom(at, sender, replyTo string, otherwise from, wrong *complaints) from {
	out := otherwise
	var err error
	if sender != "" {
		out = from{}
		if out.from, err = mail.ParseAddress(sender); err != nil {
			wrong.add(bad(at+" from", "%q is %v", sender, err))
		}
	}
	if replyTo != "" {
		if out.replyTo, err = mail.ParseAddress(replyTo); err != nil {
			wrong.add(bad(at+" reply_to", "%q is %v", replyTo, err))
		}
	}
	return out
}

// loadSender loads the guest of a struct's field Sender and has its mails counted.
func loadSender(ctx caddy.Context, holder any, raw json.RawMessage, at string, literals bool, wrong *complaints) mail.Sender {
	guest := loadGuest(ctx, holder, raw, at, literals, wrong)
	if guest == nil {
		return nil
	}
	s, ok := guest.(mail.Sender)
	if !ok {
		wrong.add(bad(at, "the module %T carries no mail", guest))
		return nil
	}
	if _, parted := s.(mail.Parted); parted {
		return s // whoever it sends by is counted
	}
	name := guest.(caddy.Module).CaddyModule().ID.Name()
	if named, ok := guest.(interface{ provider() string }); ok {
		name = named.provider()
	}
	return mailTally.Of(name, s)
}

// mailOption reads the block. Each registered provider is a subdirective by its own name: a new one touches nothing here.
func mailOption(to **Mail, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		*to = &Mail{Tenants: map[string]*MailChoice{}, Regions: map[string]*MailChoice{}}
		m := *to
		options := map[string]option{
			"from":      one(&m.From),
			"reply_to":  one(&m.ReplyTo),
			"templates": one(&m.Templates),
			"tenant":    choiceOption("tenant", m.Tenants, at.in("mail")),
			"region":    choiceOption("region", m.Regions, at.in("mail")),
		}
		senders(&m.Sender, at.in("mail"), options)
		return block(d, "mail", at.in("mail"), options, "tenant", "region")
	}
}

// choiceOption reads the names and the block of `tenant` or `region`.
func choiceOption(kind string, to map[string]*MailChoice, at noting) option {
	return func(d *caddyfile.Dispenser) error {
		var names []string
		for d.NextArg() {
			names = append(names, d.Val())
		}
		if len(names) == 0 {
			return d.Errf("%s takes one name or more, and a block", kind)
		}
		c := new(MailChoice)
		below := at.in(kind + " " + names[0])
		options := map[string]option{
			"from":     one(&c.From),
			"reply_to": one(&c.ReplyTo),
		}
		senders(&c.Sender, below, options)
		if err := block(d, kind, below, options); err != nil {
			return err
		}
		for _, name := range names {
			if to[name] != nil {
				return d.Errf("mail has %s %q twice; leave one", kind, name)
			}
			to[name] = c
			if at.places != nil {
				for place, line := range maps.Clone(*at.places) {
					if rest, ok := strings.CutPrefix(place, below.parent+" "); ok {
						(*at.places)[at.in(kind+" "+name).parent+" "+rest] = line
					}
				}
			}
		}
		return nil
	}
}

// senders adds every registered provider to a block's options.
func senders(to *json.RawMessage, at noting, options map[string]option) {
	for _, m := range caddy.GetModules(mailNamespace) {
		name := m.ID.Name()
		options[name] = func(d *caddyfile.Dispenser) error {
			if *to != nil {
				return d.Errf("a mail has one provider, and %s is one more; join them with failover or split", name)
			}
			raw, err := sender(d, name, at)
			*to = raw
			return err
		}
	}
}

// sender reads a provider's segment.
func sender(d *caddyfile.Dispenser, name string, at noting) (json.RawMessage, error) {
	return provider(d, mailNamespace, "mail", name, at)
}
