package caddymodule

import "github.com/spf13/cobra"

func mailCommand() *cobra.Command {
	return group("mail", "Shows what mails say, and what waits to be sent", "  portalgate mail queue --tenant acme\n  portalgate mail preview recover --language de",
		mailQueue(), mailRetry(), mailPreview())
}
