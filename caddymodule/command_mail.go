package caddymodule

import "github.com/spf13/cobra"

func mailCommand() *cobra.Command {
	return group("mail", "Shows what mails say", "  portalgate mail preview\n  portalgate mail preview recover --language de",
		mailPreview())
}
