package portal

import "time"

// ProblemKind sorts what can go wrong by what the person can do about it. Its text is the `code` of contract 8.
type ProblemKind string

// The kinds.
const (
	ProblemSessionRequired ProblemKind = "session_required"
	ProblemSessionExpired  ProblemKind = "session_expired"
	ProblemMFARequired     ProblemKind = "mfa_required"
	ProblemCredentials     ProblemKind = "credentials"                // 401
	ProblemInput           ProblemKind = "input"                      // 422
	ProblemRequest         ProblemKind = "bad_request"                // 400: no browser sends this
	ProblemCrossSite       ProblemKind = "cross_site"                 // 403
	ProblemForbidden       ProblemKind = "forbidden"                  // 403
	ProblemNotFound        ProblemKind = "not_found"                  // 404
	ProblemMethod          ProblemKind = "method"                     // 405
	ProblemTooLarge        ProblemKind = "too_large"                  // 413
	ProblemUnknownHost     ProblemKind = "unknown_host"               // 421
	ProblemMisdirected     ProblemKind = "misdirected"                // 421: SNI and Host disagree, or plain HTTP
	ProblemLimit           ProblemKind = "limit"                      // 429: a limit or a rest
	ProblemBusy            ProblemKind = "busy"                       // 503: many people are signing in
	ProblemUnavailable     ProblemKind = "unavailable"                // 503: a neighbour is down
	ProblemInternal        ProblemKind = "internal"                   // 500
	ProblemSocket          ProblemKind = "graphql_socket_unsupported" // 403
	ProblemEarlyData       ProblemKind = "early_data"                 // 425

	ProblemOperation ProblemKind = "graphql_operation_refused"     // 403
	ProblemMoved     ProblemKind = "graphql_operation_moved"       // 200: the old portal's browser code reads nothing else
	ProblemPersisted ProblemKind = "graphql_persisted_unsupported" // 200, as clients expect before they send the document
)

// Problem is the only error whose words a person may read. Err is for the log alone.
type Problem struct {
	Kind       ProblemKind
	Public     string // one sentence, or two; says what to do
	Field      string // the form field it belongs to, if any
	RetryAfter time.Duration
	Instead    string // what helps at once, said after when to try again
	Rule       string // the limit that refuses, for operators alone
	Err        error
}

// Error joins the public sentence and the cause, for logs.
func (p *Problem) Error() string {
	if p.Err != nil {
		return string(p.Kind) + ": " + p.Err.Error()
	}
	return string(p.Kind) + ": " + p.Public
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Status is the HTTP status that a kind is answered with.
func (k ProblemKind) Status() int {
	switch k {
	case ProblemSessionRequired, ProblemSessionExpired, ProblemMFARequired, ProblemCredentials:
		return 401
	case ProblemMoved, ProblemPersisted:
		return 200
	case ProblemCrossSite, ProblemForbidden, ProblemSocket, ProblemOperation:
		return 403
	case ProblemInput:
		return 422
	case ProblemRequest:
		return 400
	case ProblemNotFound:
		return 404
	case ProblemMethod:
		return 405
	case ProblemTooLarge:
		return 413
	case ProblemUnknownHost, ProblemMisdirected:
		return 421
	case ProblemEarlyData:
		return 425
	case ProblemLimit:
		return 429
	case ProblemBusy, ProblemUnavailable:
		return 503
	}
	return 500
}
