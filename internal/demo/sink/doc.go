// Package sink owns a mail server that delivers nothing: it speaks real SMTP, keeps what it is given, and shows it. The
// demo's mailbox is one, and tests have theirs refuse, defer, stall and hang up on command.
//
// It refuses more than one recipient for a mail, and whatever its behaviour says. It forgets the oldest mails beyond its
// number. When a client dies in the middle of a mail, nothing of it is kept.
package sink
