package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// tried is what became of a test mail.
type tried struct {
	To       string `json:"to"`
	From     string `json:"from"`
	Sender   string `json:"-"` // its address
	Provider string `json:"provider"`
	Answer   string `json:"answer"`
}

func mailTest() *cobra.Command {
	var (
		d                          desk
		config, to, tenant, region string
	)
	c := command("test", "Sends one mail now by the configured provider, and says what it answered", "  portalgate mail test --config Caddyfile --to me@acme.example --tenant acme", takes(), func(c *cobra.Command, _ []string) error {
		if config == "" || to == "" {
			return errors.New("needs --config Caddyfile and --to ADDRESS")
		}
		address, err := portal.ParseEmail(to)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		ctx, cancel := caddy.NewContext(caddy.Context{Context: c.Context()})
		defer cancel()
		p, err := configuredPost(ctx, config)
		if err != nil {
			return err
		}
		out, err := tryMail(c.Context(), p, portal.Tenant{Slug: tenant, Region: region}, address)
		if err != nil {
			return fmt.Errorf("the mail was not taken: %w", err)
		}
		return d.print(c, out, func(w io.Writer) {
			fmt.Fprintf(w, "%s took a mail to %s from %s and answered: %s\n", out.Provider, out.To, out.From, out.Answer)
		})
	})
	d.flags(c, false, false)
	c.Flags().StringVar(&config, "config", "", "Caddyfile or JSON configuration with the `mail` block")
	c.Flags().StringVar(&to, "to", "", "who gets it")
	c.Flags().StringVar(&tenant, "tenant", "", "the tenant in whose name it comes; default: none's")
	c.Flags().StringVar(&region, "region", "", "the region of that tenant, as \"portalgate tenant region\" has set it; default: none")
	return c
}

// configuredPost is how mail leaves by a configuration file.
func configuredPost(ctx caddy.Context, file string) (*post, error) {
	whole, _, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	app := new(App)
	if raw, ok := whole.AppsRaw["portalgate"]; !ok {
		return nil, fmt.Errorf("%s has no `portalgate { … }` in its global options", file)
	} else if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if app.Mail == nil {
		return nil, errNoMail
	}
	p, err := app.Mail.post(ctx, app.LiteralSecrets)
	return p, places(app.Places).at(err)
}

// testMail says of itself what it is. It has no link, and nobody's data.
func testMail(p *post, t portal.Tenant, to portal.Email, now time.Time) mail.Message {
	sender, replyTo := p.From(&t)
	const says = "An operator of the portal tries whether mail arrives. Nothing has happened to your account, and there is nothing to do."
	_, domain, _ := strings.Cut(sender.Email, "@")
	return mail.Message{ID: portal.FormatID(secret.NewID()) + "@" + domain, Slug: t.Slug, Region: t.Region, Kind: portal.LetterTest,
		From: sender, ReplyTo: replyTo, To: to, Subject: "A test of the portal's mail", Text: says + "\n", HTML: "<p>" + says + "</p>", Language: "en", Date: now}
}
