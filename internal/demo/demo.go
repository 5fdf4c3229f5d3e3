// Package demo owns a world in a box: private servers, a keyring, two tenants with people in every state, and a demo
// ERP twice, once as it should be and once as a double of the unchanged backend. `portalgate demo` shows it, tests
// stand on it.
//
// It refuses to be reached from the gateway's own code, and to touch anything that was there before: everything lives
// in directories of its own, which are removed when it is closed. When PostgreSQL is not installed it says the one
// command that installs it; when Redis is not, the gateway keeps its limits by itself.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/portalgate/portalgate/internal/demo/erp"
	"github.com/portalgate/portalgate/internal/demo/servers"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
	"github.com/portalgate/portalgate/internal/store"
	"github.com/portalgate/portalgate/migrations"
)

// Options are how the world is built.
type Options struct {
	Port    int                              // of the gate; 0: 8080, or the next that is free
	Program string                           // how a person calls our commands; default "portalgate"
	Say     func(format string, args ...any) // told what happens; nil is silence
}

// World is a running demo, but for the gate itself: its configuration is Caddyfile, its environment Environment.
type World struct {
	Port, OldPort int
	MailPort      int    // of the mailbox page
	SMTP          string // where its mail server listens, as host:port
	Caddyfile     string
	Environment   map[string]string
	Dir           string
	Postgres      *servers.Postgres
	Redis         *servers.RedisServer // nil: none installed
	ERP, OldERP   *erp.ERP

	program   string
	gate, old *port
	mails     *mailbox
	owner     *pgxpool.Pool
}

// Person is an account of the demo.
type Person struct {
	Tenant, Email, Name, Password, What string
	Role                                portal.Role
	Customers                           []string
	Unverified, Temporary               bool
}

// People are the demo's accounts.
var People = []Person{
	{"acme", "ann@buyer.example", "Ann Buyer", "Blue pallet trucks at dawn", "an ordinary customer", portal.RoleUser, []string{"C-1003"}, false, false},
	{"acme", "maria@northwind.example", "Maria Jensen", "Quarterly-Invoices-7", "buys for two companies, and chooses one", portal.RoleAdmin, []string{"C-1001", "C-1002"}, false, false},
	{"acme", "new@buyer.example", "Noor Newman", "Kraft paper by the roll", "the address is not confirmed yet", portal.RoleUser, []string{"C-1003"}, true, false},
	{"acme", "first@buyer.example", "Fred First", "Temporary box 4711", "a temporary password, to be changed", portal.RoleUser, []string{"C-1003"}, false, true},
	{"globex", "ines@harbour.example", "Ines Duarte", "Warehouse#Dock4-East", "a customer of the other tenant", portal.RoleUser, []string{"C-2001"}, false, false},
	{"globex", "maria@northwind.example", "Maria Jensen", "Tulip Bulbs by the Crate", "the same address in the other tenant, another password", portal.RoleApprover, []string{"C-2001"}, false, false},
}

var customers = map[string][][2]string{
	"acme":   {{"C-1001", "Northwind Bakery"}, {"C-1002", "Northwind Catering"}, {"C-1003", "Corner Shop Ltd"}},
	"globex": {{"C-2001", "Harbour Foods"}},
}

type tenant struct {
	slug, name, accent, contact, logo string
}

var tenants = []tenant{
	{"acme", "Acme Packaging", "#0a6e5c", "portal@acme.example", `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><rect width="40" height="40" rx="10" fill="#0a6e5c"/><path d="M20 8l11 6v12l-11 6-11-6V14z" fill="none" stroke="#fff" stroke-width="2.5" stroke-linejoin="round"/><path d="M9 14l11 6 11-6M20 20v12" fill="none" stroke="#fff" stroke-width="2.5" stroke-linejoin="round"/></svg>`},
	{"globex", "Globex Logistics", "#b8431f", "+49 40 555 0199", ""},
}

// HostsOf are a tenant's hosts in the demo: one of its own, and one that is same-site with the other tenant's.
func HostsOf(slug string) []string { return []string{slug + ".localhost", slug + ".portal.localhost"} }

// Start builds the world. Its ports are open already, and answer when the gate serves them.
func Start(ctx context.Context, o Options) (*World, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	w := &World{Environment: map[string]string{}, program: o.Program}
	if w.program == "" {
		w.program = "portalgate"
	}
	if err := w.build(ctx, o); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *World) build(ctx context.Context, o Options) (err error) {
	if w.gate, err = openPort(o.Port, 8080); err != nil {
		return err
	}
	if w.old, err = openPort(0, w.gate.number+1); err != nil {
		return err
	}
	if w.mails, err = openMailbox(w.old.number + 1); err != nil {
		return err
	}
	w.Port, w.OldPort, w.MailPort, w.SMTP = w.gate.number, w.old.number, w.mails.port.number, w.mails.sink.Addr()
	say := servers.Options{Say: func(line string) { o.Say("%s", line) }}
	if w.Postgres, err = servers.StartPostgres(ctx, say); err != nil {
		return err
	}
	if w.Redis, err = servers.StartRedis(ctx, say); errors.Is(err, servers.ErrMissing) {
		o.Say("no redis-server is installed: the gate keeps its limits by itself")
		w.Redis = nil
	} else if err != nil {
		return err
	}
	// In the database's room, which is swept even after this program was killed.
	w.Dir = filepath.Join(w.Postgres.Dir(), "gate")
	if err = os.Mkdir(w.Dir, 0o700); err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	if err = w.furnish(ctx); err != nil {
		return err
	}
	if w.owner, err = pgxpool.New(ctx, w.Postgres.URL("postgres", "postgres")); err != nil {
		return fmt.Errorf("connecting the demo ERP: %w", err)
	}
	if w.ERP, err = erp.Start(erp.Options{Keys: w.keys}); err != nil {
		return err
	}
	oldSecret := secret.NewToken().Reveal()
	if w.OldERP, err = erp.Start(erp.Options{OldGuard: &erp.OldGuard{Secret: oldSecret, Lookup: w.lookup}}); err != nil {
		return err
	}
	w.Environment["PORTALGATE_DEMO_OLD_SECRET"] = oldSecret
	w.Environment["XDG_DATA_HOME"] = w.Dir // where Caddy keeps what it remembers
	w.configure()
	return nil
}

// furnish makes roles, tables, keys, tenants and people.
func (w *World) furnish(ctx context.Context) error {
	owner := w.Postgres.URL("postgres", "postgres")
	if _, err := migrations.Up(ctx, owner, migrations.Options{}); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	for _, sql := range []string{`create role app login in role portalgate_gateway`, `create role operator login in role portalgate_operator`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("making the roles: %w", err)
		}
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("disconnecting: %w", err)
	}
	w.Environment["PORTALGATE_DATABASE_URL"] = w.Postgres.URL("postgres", "app")
	if w.Redis != nil {
		w.Environment["PORTALGATE_REDIS_URL"] = w.Redis.URL()
	}
	ring, err := secret.Generate(time.Now())
	if err != nil {
		return err
	}
	w.Environment["PORTALGATE_KEYRING"] = filepath.Join(w.Dir, "keyring.json")
	if err := secret.WriteNew(w.Environment["PORTALGATE_KEYRING"], ring); err != nil {
		return err
	}
	keys, err := secret.Parse(ring)
	if err != nil {
		return err
	}
	hasher, err := password.New(password.Config{Pepper: keys.Pepper(time.Now)})
	if err != nil {
		return err
	}
	s, err := store.Open(owner, store.Options{MaxConns: 2, Wait: 10 * time.Second})
	if err != nil {
		return err
	}
	defer s.Close()
	by := store.Deed{Operator: "demo"}
	for _, t := range tenants {
		id := portal.TenantID(portal.FormatID(secret.NewID()))
		var people []store.NewUser
		for _, p := range People {
			if p.Tenant != t.slug {
				continue
			}
			typed, err := password.Prepare(p.Password)
			if err != nil {
				return fmt.Errorf("password of %s: %w", p.Email, err)
			}
			h, err := hasher.Hash(ctx, typed)
			if err != nil {
				return err
			}
			first, last, _ := strings.Cut(p.Name, " ")
			for _, c := range p.Customers {
				people = append(people, store.NewUser{Email: portal.Email(p.Email), FirstName: first, LastName: last, Role: p.Role, Customer: c,
					Verified: !p.Unverified, PHC: h.PHC, KeyID: h.KeyID, MustChange: p.Temporary})
			}
		}
		err := s.Within(ctx, id, time.Now(), func(x *store.Tx) error {
			if err := x.AddTenant(ctx, t.slug, t.name, by); err != nil {
				return err
			}
			if t.slug == "acme" { // people there can try every kind; nobody has one yet
				if err := x.SetMFA(ctx, portal.MFAPolicy{EmailCodes: true, Remember: true}, map[string]string{"email_codes": "on", "remember_device": "on"}, by); err != nil {
					return err
				}
			}
			for _, h := range HostsOf(t.slug) {
				if err := x.AddHost(ctx, h, by); err != nil {
					return err
				}
			}
			if err := x.SetBrand(ctx, portal.Brand{Accent: t.accent, Contact: t.contact, Logo: []byte(t.logo)}, by); err != nil {
				return err
			}
			for _, c := range customers[t.slug] {
				if err := x.AddCustomer(ctx, c[0], c[1]); err != nil {
					return err
				}
			}
			for _, p := range people {
				if _, err := x.AddUser(ctx, p, by); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("making tenant %s: %w", t.slug, err)
		}
	}
	return nil
}

// keys fetches the gate's key set for a tenant's origin, which the name *.localhost leads back to this machine.
func (w *World) keys(ctx context.Context, origin string) ([]byte, error) {
	_, host, _ := strings.Cut(origin, "://")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/auth/jwks.json", w.Port), nil)
	if err != nil {
		return nil, err
	}
	req.Host = host
	c := http.Client{Timeout: 5 * time.Second}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the gate answered %s", res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 1<<20))
}

// lookup is the old backend's look at the user's row on each request, as the owner, as it does.
func (w *World) lookup(ctx context.Context, id string) (u erp.OldUser, found bool, err error) {
	err = w.owner.QueryRow(ctx, `select id::text, tenant_id::text, customer_id::text, email, coalesce(first_name, ''), coalesce(last_name, ''), role,
		coalesce(is_active, false), coalesce(is_email_verified, false), deleted_at is not null from customer_users where id::text = $1`, id).
		Scan(&u.ID, &u.Tenant, &u.Customer, &u.Email, &u.FirstName, &u.LastName, &u.Role, &u.Active, &u.Verified, &u.Deleted)
	if errors.Is(err, pgx.ErrNoRows) {
		return u, false, nil
	}
	return u, err == nil, err
}

// configure writes the Caddyfile of the world.
func (w *World) configure() {
	redis := ""
	if w.Redis != nil {
		redis = "\n\t\tredis {env.PORTALGATE_REDIS_URL}"
	}
	var from strings.Builder
	for _, t := range tenants {
		fmt.Fprintf(&from, "\n\t\t\ttenant %s {\n\t\t\t\tfrom \"%s <no-reply@%s.example>\"\n\t\t\t}", t.slug, t.name, t.slug)
	}
	w.Caddyfile = fmt.Sprintf(`{
	admin unix/%[1]s/admin.sock
	persist_config off
	storage file_system %[1]s/caddy
	auto_https off
	http_port %[3]d
	log {
		level ERROR
	}
	portalgate {
		database {env.PORTALGATE_DATABASE_URL}%[2]s
		keyring {env.PORTALGATE_KEYRING}
		mail {
			from "Portal <no-reply@portal.example>"
			smtp %[9]s%[10]s
		}
	}
}

http://:%[3]d {
	bind %[4]s
	portalgate {
		public /assets/* /favicon.ico
		require mfa /admin/*
		graphql /graphql {
			allow me orders invoices createOrder
		}
	}
	reverse_proxy %[5]s
}

http://:%[6]d {
	bind %[7]s
	portalgate {
		public /assets/* /favicon.ico
		graphql /graphql {
			allow me orders invoices createOrder customer*
		}
		upstream_token jwt {
			secret {env.PORTALGATE_DEMO_OLD_SECRET}
		}
	}
	reverse_proxy %[8]s
}
`, w.Dir, redis, w.Port, w.gate.bind(), w.ERP.Addr(), w.OldPort, w.old.bind(), w.OldERP.Addr(), w.SMTP, from.String())
}

// Screen is what the person who started the demo is told.
func (w *World) Screen() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nportalgate demo is running.\n\n  %-40s %s\n", "Acme Packaging", fmt.Sprintf("http://acme.localhost:%d", w.Port))
	fmt.Fprintf(&b, "  %-40s %s\n", "Globex Logistics", fmt.Sprintf("http://globex.localhost:%d", w.Port))
	fmt.Fprintf(&b, "  %-40s %s\n", "the same tenants, same-site hosts", fmt.Sprintf("http://acme.portal.localhost:%d, http://globex.portal.localhost:%d", w.Port, w.Port))
	fmt.Fprintf(&b, "  %-40s %s\n", "behind it, the unchanged old backend", fmt.Sprintf("http://acme.localhost:%d", w.OldPort))
	fmt.Fprintf(&b, "  %-40s %s\n\n", "every mail that is sent", fmt.Sprintf("http://localhost:%d", w.MailPort))
	fmt.Fprintf(&b, "  %-8s %-26s %-28s %s\n", "TENANT", "E-MAIL", "PASSWORD", "WHO")
	for _, p := range People {
		fmt.Fprintf(&b, "  %-8s %-26s %-28s %s\n", p.Tenant, p.Email, p.Password, p.What)
	}
	redis := "none installed: the gate keeps its limits by itself"
	if w.Redis != nil {
		redis = w.Redis.Chosen()
	}
	fmt.Fprintf(&b, "\n  PostgreSQL  %s\n  Redis       %s\n", w.Postgres.Chosen(), redis)
	fmt.Fprintf(&b, "  commands    export PORTALGATE_DATABASE_URL='%s' PORTALGATE_KEYRING='%s'\n", w.Postgres.URL("postgres", "operator"), w.Environment["PORTALGATE_KEYRING"])
	fmt.Fprintf(&b, `
  Try: sign in, then look at "What the ERP received". Open a second tab, sign out in one, look at the other.
       Forget your password, and find the link in the mailbox.
       Forge a header:  curl -i -H 'X-Portal-User-Id: admin' http://acme.localhost:%d/orders
       End a session, after the line "commands" in another terminal:
                        %s user revoke-sessions --tenant acme --email ann@buyer.example

Ctrl-C ends it and leaves nothing behind.
`, w.Port, w.program)
	return b.String()
}

// Close ends everything that Start began.
func (w *World) Close() {
	w.mails.close()
	if w.ERP != nil {
		w.ERP.Close()
	}
	if w.OldERP != nil {
		w.OldERP.Close()
	}
	if w.owner != nil {
		w.owner.Close()
	}
	if w.Redis != nil {
		w.Redis.Close()
	}
	if w.Postgres != nil {
		w.Postgres.Close()
	}
	for _, p := range []*port{w.gate, w.old} {
		if p != nil {
			p.close()
		}
	}
}
