// Command portalgate is Caddy with the portalgate module and its commands at the top.
package main

import (
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/portalgate/portalgate/caddymodule"
)

func main() {
	caddymodule.Main(demoCommand())
}
