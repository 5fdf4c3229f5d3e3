package caddymodule

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
)

// What it saves is measured by P17, beside a program without the gate.
func TestOldServersHaveAMomentBeforeTheyEnd(t *testing.T) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := handOver(ctx); err != nil {
		t.Fatal(err)
	}
	app, err := ctx.App("events")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	app.(*caddyevents.App).Emit(ctx, "stopping", nil)
	if took := time.Since(began); took < handoverPause {
		t.Errorf("when a configuration is about to stop, its servers have %s", took)
	}
}
