package caddymodule

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestAGatewayThatIsNotNamedIsTheUsualOne(t *testing.T) {
	if got := usual(); got != caddy.DefaultAdminListen && got != "unix/"+usualSocket {
		t.Errorf("with nothing said it is %s", got)
	}
	t.Setenv("PORTALGATE_ADMIN", "unix//tmp/other.sock")
	if got := usual(); got != "unix//tmp/other.sock" {
		t.Errorf("with the environment's word it is %s", got)
	}
}

func TestAProgramKnowsItsVersion(t *testing.T) {
	if v := ownVersion(); !strings.HasPrefix(v, "portalgate") || strings.ContainsAny(v, "()") {
		t.Errorf("its version is %q", v)
	}
}
