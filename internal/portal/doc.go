// Package portal owns the words of the house: the values that every other package speaks in, and the rules that
// need nothing but those values. It decides who may pass, when a session ends, when an account rests, which step of
// a sign-in comes next and what a person may be told.
//
// It refuses to do anything: no input or output, no clock, no logger, no randomness. Time is always an argument, so
// that one clock moves the whole program. It has no neighbour that could fail.
package portal
