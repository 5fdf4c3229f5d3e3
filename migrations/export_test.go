package migrations

// For the tests outside: what brings a single stream up or down.
var (
	Provider   = provider
	Open       = open
	GroupRoles = groupRoles
)
