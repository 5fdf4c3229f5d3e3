// With a file of assembly in the package, the compiler accepts functions without a body: see argon2.go.
