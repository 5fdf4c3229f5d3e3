package caddymodule

import "github.com/spf13/cobra"

func mailCommand() *cobra.Command {
	return group("mail", "Shows what mails say and what waits to be sent, and tries whether they arrive", "  portalgate mail queue --tenant acme\n  portalgate mail preview recover --language de",
		mailQueue(), mailRetry(), mailTest(), mailDoctor(), mailPreview(), mailBounce(), mailSuppressed(), mailCaptured())
}
