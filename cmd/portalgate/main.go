// Command portalgate is Caddy with the portalgate module and its commands at the top. It owns the choice of what is built
// in, and the demo; it refuses the commands that would replace it by a Caddy without the gate. What happens when a
// neighbour fails stands in package caddymodule.
package main

import (
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/portalgate/portalgate/caddymodule"
)

func main() {
	caddymodule.Main(demoCommand())
}
