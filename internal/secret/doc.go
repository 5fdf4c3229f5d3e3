// Package secret owns everything that must not be read by the wrong eyes: random tokens and what is stored of them,
// the keyring, sealing, keyed hashes, and the signing and checking of access tokens and assertions. It is the one
// place for cryptography besides password hashing (M18).
//
// It refuses to print: every type that holds a secret renders as a word in brackets, whatever the verb. It refuses
// keys that are missing, short, examples, or used for two purposes. It has no neighbour but the keyring file; when
// that file can no longer be read, the keys already loaded go on working and the error is returned to whoever asked
// for the new reading.
//
// # Why one algorithm per key
//
// A token never says how it wants to be checked: the key does (KEY-01). The parser is given exactly one method and
// refuses the rest, `none` included, before any claim is looked at.
package secret
