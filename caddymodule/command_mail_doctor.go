package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// stood is a line of the mail doctor's.
type stood struct {
	Domain string `json:"domain"`
	mail.Standing
}

func mailDoctor() *cobra.Command {
	var (
		d                               desk
		config, to, tenant, region, dns string
		selectors                       []string
	)
	c := command("doctor", "Asks DNS whether other mail servers will believe our senders, says which record mends what, and sends a test mail",
		"  portalgate mail doctor --config Caddyfile\n  portalgate mail doctor --config Caddyfile --tenant acme --to me@acme.example --selector s1", takes(), func(c *cobra.Command, _ []string) error {
			if config == "" {
				return errors.New("needs --config Caddyfile, which names the senders")
			}
			address, err := portal.ParseEmail(to)
			if to != "" && err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			ctx, cancel := caddy.NewContext(caddy.Context{Context: c.Context()})
			defer cancel()
			p, err := configuredPost(ctx, config)
			if err != nil {
				return err
			}
			who := portal.Tenant{Slug: tenant, Region: region}
			domains := p.domains()
			if tenant != "" || region != "" {
				domains = map[string][]string{}
				p.sends(domains, p.route().For(tenant, region), who)
			}
			found := examineSenders(c.Context(), resolver(dns), domains, selectors)
			if to != "" {
				found = append(found, roundTrip(c.Context(), p, who, address))
			}
			if err := d.print(c, found, func(w io.Writer) {
				for _, f := range found {
					fmt.Fprintf(w, "%s\t%s %s\t%s\n", f.State, f.Domain, f.Check, f.Says)
					if f.Add != "" {
						fmt.Fprintf(w, "\t\t%s\n", f.Add)
					}
				}
			}); err != nil {
				return err
			}
			wrong := 0
			for _, f := range found {
				if f.State == mail.StandsWrong {
					wrong++
				}
			}
			if wrong > 0 {
				return fmt.Errorf("%s to mend, of %d looked at", count(wrong, "thing"), len(found))
			}
			return nil
		})
	d.answers(c)
	c.Flags().StringVar(&config, "config", "", "Caddyfile or JSON configuration with the `mail` block")
	c.Flags().StringVar(&to, "to", "", "sends a test mail to this address, and says what the provider answers")
	c.Flags().StringVar(&tenant, "tenant", "", "look at this tenant's sender only; default: at all senders")
	c.Flags().StringVar(&region, "region", "", "the region of that tenant, as \"portalgate tenant region\" has set it; default: none")
	c.Flags().StringArrayVar(&selectors, "selector", nil, "a selector of the sender's DKIM keys; default: those that are usual with the provider")
	c.Flags().StringVar(&dns, "dns", "", "the DNS server that is asked, as host:port; default: this machine's")
	return c
}

// resolver is who answers questions about names.
func resolver(server string) *net.Resolver {
	if server == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
}

// examineSenders looks at each domain.
func examineSenders(ctx context.Context, r mail.Resolver, domains map[string][]string, selectors []string) (out []stood) {
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		for _, s := range mail.Examine(ctx, r, mail.Domain{Name: name, Carriers: domains[name], Selectors: selectors}) {
			out = append(out, stood{name, s})
		}
	}
	return out
}

// roundTrip sends a test mail.
func roundTrip(ctx context.Context, p *post, n portal.Tenant, to portal.Email) stood {
	out, err := tryMail(ctx, p, n, to)
	_, domain, _ := strings.Cut(out.Sender, "@")
	s := stood{domain, mail.Standing{Check: "test mail", State: mail.StandsWell, Says: fmt.Sprintf("%s took a mail to %s and answered: %s", out.Provider, out.To, out.Answer)}}
	if err != nil {
		s.State, s.Says = mail.StandsWrong, fmt.Sprintf("the mail was not taken: %v", err)
	}
	return s
}

// tryMail hands one test mail over.
func tryMail(ctx context.Context, p *post, n portal.Tenant, to portal.Email) (tried, error) {
	m := testMail(p, n, to, time.Now())
	out := tried{To: string(to), From: m.From.String(), Sender: m.From.Email}
	m.Taken = func(provider, answer string) { out.Provider, out.Answer = provider, answer }
	within, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	return out, p.Send(within, m)
}

func (p *post) route() *mail.Route { return p.Sender.(*mail.Route) }

// domains are the domains of all senders, and who carries their mail.
func (p *post) domains() map[string][]string {
	out := map[string][]string{}
	p.sends(out, p.route().Default, portal.Tenant{})
	for slug := range p.tenants {
		p.sends(out, p.route().For(slug, ""), portal.Tenant{Slug: slug})
	}
	for region := range p.regions {
		p.sends(out, p.route().For("", region), portal.Tenant{Region: region})
	}
	return out
}

// sends notes by whom the mail of a tenant's sender leaves.
func (p *post) sends(to map[string][]string, by mail.Sender, n portal.Tenant) {
	from, _ := p.From(&n)
	_, domain, _ := strings.Cut(from.Email, "@")
	for _, leaf := range mail.Leaves(by) {
		carrier := ""
		switch s := leaf.(type) {
		case *MailSES:
			carrier = "ses"
		case *MailSendGrid:
			carrier = "sendgrid"
		case *MailSMTP:
			carrier = s.Host
		case *MailCapture:
			carrier = "capture"
		case interface{ provider() string }:
			carrier = s.provider()
		}
		if carrier != "" && !slices.Contains(to[domain], carrier) {
			to[domain] = append(to[domain], carrier)
		}
	}
	slices.Sort(to[domain])
}
