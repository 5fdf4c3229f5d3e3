package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/password"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/store"
)

// secretFlags are where a secret comes from: never from an argument, which everybody on the machine can read.
type secretFlags struct {
	stdin bool
	file  string
}

func (f *secretFlags) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input")
	c.Flags().StringVar(&f.file, "password-file", "", "read the password from a file")
}

func (f *secretFlags) read(c *cobra.Command) (string, error) {
	var (
		b   []byte
		err error
	)
	switch {
	case f.stdin && f.file != "":
		return "", errors.New("give --password-stdin or --password-file, not both")
	case f.stdin:
		b, err = io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<16))
	case f.file != "":
		b, err = os.ReadFile(f.file)
	default:
		return "", errors.New("the password comes from standard input with --password-stdin, or from a file with --password-file")
	}
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if s == "" {
		return "", errors.New("the password is empty")
	}
	return s, nil
}

// hash makes the stored form of a password that an operator gives, after the rules that stand at every door.
func (d *desk) hash(ctx context.Context, s *store.Store, text string, tenant portal.TenantID, u portal.User) (password.Stored, error) {
	ring, err := d.keys()
	if err != nil {
		return password.Stored{}, err
	}
	// A hash made with another keyring than the gateway's would open to nobody.
	if err := s.RegisterKeys(ctx, prints(ring), time.Now()); err != nil {
		return password.Stored{}, fmt.Errorf("keyring %s: %w", d.keyring, explained(err))
	}
	p, err := password.Prepare(text)
	if err != nil {
		return password.Stored{}, fmt.Errorf("the password cannot be used: %s", password.Reason(err))
	}
	var pepper password.Pepper
	if x := ring.Pepper(time.Now); x != nil {
		pepper = x
	}
	h, err := password.New(password.Config{Pepper: pepper})
	if err != nil {
		return password.Stored{}, err
	}
	t, err := known(ctx, s, tenant)
	if err != nil {
		return password.Stored{}, err
	}
	if err := h.Judge(ctx, auth.Rules(portal.DefaultPolicy(), &t, u), p); err != nil {
		return password.Stored{}, fmt.Errorf("the password cannot be used: %w", err)
	}
	return h.Hash(ctx, p)
}

// known is a tenant with its hosts.
func known(ctx context.Context, s *store.Store, id portal.TenantID) (portal.Tenant, error) {
	t, err := s.Tenant(ctx, id, time.Now())
	if err != nil {
		return t, explained(err)
	}
	entries, err := s.Directory(ctx)
	for _, e := range entries {
		if e.Tenant == id && e.Host != "" {
			t.Hosts = append(t.Hosts, e.Host)
		}
	}
	return t, explained(err)
}

func userPassword() *cobra.Command {
	var (
		d     desk
		p     who
		typed secretFlags
	)
	c := command("set-password", "Sets a temporary password: it must be changed at the next sign-in, and every session ends",
		"  printf '%s' \"$PASSWORD\" | portalgate user set-password --tenant acme --email ann@buyer.example --password-stdin --reason \"called, identity checked\"", takes(),
		func(c *cobra.Command, _ []string) error {
			email, err := p.parse()
			if err != nil {
				return err
			}
			text, err := typed.read(c)
			if err != nil {
				return err
			}
			s, err := d.open(c.Context())
			if err != nil {
				return err
			}
			h, err := func() (password.Stored, error) {
				defer s.Close()
				id, err := find(c.Context(), s, p.tenant)
				if err != nil {
					return password.Stored{}, err
				}
				u := portal.User{Email: string(email)}
				err = s.Within(c.Context(), id, time.Now(), func(x *store.Tx) error {
					rows, err := x.Named(c.Context(), email)
					if len(rows) > 0 {
						u = rows[0].User
					}
					return err
				})
				if err != nil {
					return password.Stored{}, explained(err)
				}
				return d.hash(c.Context(), s, text, id, u)
			}()
			if err != nil {
				return err
			}
			ended := []portal.SessionID{}
			err = d.person(c.Context(), p, func(x *store.Tx, e portal.Email, rows []store.Account) error {
				for _, a := range rows {
					ids, err := x.SetPassword(c.Context(), a, e, h.PHC, h.KeyID, d.by())
					if err != nil {
						return err
					}
					ended = append(ended, ids...)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return d.print(c, map[string]any{"email": email, "sessions_ended": len(ended)}, func(w io.Writer) {
				fmt.Fprintf(w, "%s has a temporary password, to be changed at the next sign-in; %s ended\n", email, count(len(ended), "session"))
			})
		})
	d.flags(c, true, true)
	d.deed(c)
	p.flags(c)
	typed.flags(c)
	return c
}
