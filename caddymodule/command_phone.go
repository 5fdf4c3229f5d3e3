package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// phone is how commands ask running gateways.
type phone struct{ admin []string }

func (p *phone) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&p.admin, "admin", nil, "admin endpoint of a running gateway, as localhost:2019 or unix//run/portalgate/admin.sock; may be given for each (default $PORTALGATE_ADMIN, else that socket where there is one, else Caddy's, "+caddy.DefaultAdminListen+")")
}

// usualSocket is where the configurations that we ship have the admin endpoint.
const usualSocket = "/run/portalgate/admin.sock"

// usual is the admin endpoint of a gateway that was not named.
func usual() string {
	if named := os.Getenv("PORTALGATE_ADMIN"); named != "" {
		return named
	}
	if at, err := os.Stat(usualSocket); err == nil && at.Mode().Type() == os.ModeSocket {
		return "unix/" + usualSocket
	}
	return caddy.DefaultAdminListen
}

// errNobody means that no gateway was named and none answers where Caddy's is by default.
var errNobody = errors.New("no gateway answers")

// ask sends a request to each gateway and hands its answers over. Gateways that were named must answer.
func (p *phone) ask(method, path string, body any, each func(admin string, answer []byte) error) error {
	named := p.admin
	if len(named) == 0 {
		named = []string{usual()}
	}
	for _, admin := range named {
		if a, err := caddy.ParseNetworkAddress(admin); err != nil || !a.IsUnixNetwork() && !a.IsFdNetwork() && (a.StartPort == 0 || a.PortRangeSize() != 1) {
			return fmt.Errorf("%q is no admin endpoint: write --admin localhost:2019 or --admin unix//run/portalgate/admin.sock", admin)
		}
		var send io.Reader
		if body != nil {
			b, err := json.Marshal(body)
			if err != nil {
				return fmt.Errorf("encoding a question: %w", err)
			}
			send = bytes.NewReader(b)
		}
		answer, err := call(admin, method, path, send)
		if err != nil {
			var refused *refusal
			if len(p.admin) == 0 && !errors.As(err, &refused) {
				return fmt.Errorf("%w at %s: %w", errNobody, admin, err)
			}
			return fmt.Errorf("the gateway at %s: %w", admin, err)
		}
		if err := each(admin, answer); err != nil {
			return fmt.Errorf("the gateway at %s: %w", admin, err)
		}
	}
	return nil
}

// refusal is an answer of a gateway that is an error.
type refusal struct{ says string }

// Error is what the gateway says.
func (r *refusal) Error() string { return r.says }

func call(admin, method, path string, body io.Reader) ([]byte, error) {
	res, err := caddycmd.AdminAPIRequest(admin, method, path, nil, body)
	if err != nil {
		// Caddy folds a gateway's own words into its sentence.
		if _, words, ok := strings.Cut(err.Error(), "caddy responded with error: "); ok {
			if _, words, ok = strings.Cut(words, `"error":`); ok {
				var s string
				if json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimSpace(words), "}")), &s) == nil {
					return nil, &refusal{s}
				}
			}
			return nil, &refusal{"it has no such question; is it a gateway of this release?"}
		}
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(io.LimitReader(res.Body, 16<<20))
}
