package erp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"unicode/utf16"
)

// oldSchemaText is what the unchanged backend has besides: its sign-in, with the flaws that a review found in it, and one
// operation for its staff, of many, that nothing guards.
const oldSchemaText = `
extend type Query { customerActiveSessions: [String!]!, supplierPrices(tenantId: ID!): [String!]! }
extend type Mutation {
	customerLogin(email: String!, password: String!, mfaCode: String): OldSession!
	customerRefreshToken(refreshToken: String!): OldSession!
	customerLogout: Boolean!
	customerRegister(customerCode: String!, email: String!, password: String!, firstName: String!, lastName: String!): OldSession!
	customerRequestPasswordReset(email: String!): Boolean!
	customerResetPassword(token: String!, newPassword: String!): Boolean!
	customerChangePassword(oldPassword: String!, newPassword: String!): Boolean!
	customerVerifyEmail(token: String!): Boolean!
	customerResendVerificationEmail: Boolean!
	customerEnrollMFA: OldEnrolment!
	customerVerifyMFA(code: String!): Boolean!
	customerDisableMFA(password: String!): Boolean!
	customerRegenerateBackupCodes(password: String!): [String!]!
	customerRevokeSession(tokenId: String!): Boolean!
	customerRevokeAllSessions: Boolean!
	customerUpdateProfile(input: OldProfile!): Person!
}
input OldProfile { firstName: String, lastName: String }
type OldSession { accessToken: String!, refreshToken: String! }
type OldEnrolment { secret: String!, backupCodes: [String!]! }`

// counter counts how often each operation of the old portal was reached.
type counter struct {
	mu    sync.Mutex
	times map[string]int
}

func (c *counter) reached(operation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.times[operation]++
}

// Reached is how often each operation of the old portal was reached; what is missing never was.
func (e *ERP) Reached() map[string]int {
	e.reached.mu.Lock()
	defer e.reached.mu.Unlock()
	return maps.Clone(e.reached.times)
}

// oldRoot are the resolvers of the unchanged backend.
type oldRoot struct{ root }

type oldSession struct{}

func (oldSession) AccessToken() string  { return "old.access.token" }
func (oldSession) RefreshToken() string { return "old.refresh.token" }

type oldEnrolment struct{}

func (oldEnrolment) Secret() string        { return "PLACEHOLDER_SECRET" }
func (oldEnrolment) BackupCodes() []string { return []string{"CODE1", "CODE2", "CODE3"} }

func (r *oldRoot) yes(operation string) bool {
	r.e.reached.reached(operation)
	return true
}

func (r *oldRoot) signsIn(operation string) (oldSession, error) {
	r.e.reached.reached(operation)
	return oldSession{}, guardError{said("Invalid credentials")}
}

// CustomerMe and those below it answer as the old backend does, or nearly: what matters is that they were reached.
func (r *oldRoot) CustomerMe(ctx context.Context) (personResolver, error) {
	r.e.reached.reached("customerMe")
	return r.Me(ctx)
}

func (r *oldRoot) CustomerActiveSessions() []string {
	r.e.reached.reached("customerActiveSessions")
	return []string{}
}

func (r *oldRoot) SupplierPrices(struct{ TenantID string }) []string {
	r.e.reached.reached("supplierPrices")
	return []string{"Kraft paper: 612 € a ton"}
}

func (r *oldRoot) CustomerLogin(struct {
	Email, Password string
	MFACode         *string
}) (oldSession, error) {
	return r.signsIn("customerLogin")
}

func (r *oldRoot) CustomerRefreshToken(struct{ RefreshToken string }) (oldSession, error) {
	return r.signsIn("customerRefreshToken")
}

func (r *oldRoot) CustomerRegister(struct{ CustomerCode, Email, Password, FirstName, LastName string }) (oldSession, error) {
	return r.signsIn("customerRegister")
}

func (r *oldRoot) CustomerLogout() bool { return r.yes("customerLogout") }

func (r *oldRoot) CustomerRequestPasswordReset(struct{ Email string }) bool {
	return r.yes("customerRequestPasswordReset")
}

func (r *oldRoot) CustomerResetPassword(struct{ Token, NewPassword string }) bool {
	return r.yes("customerResetPassword")
}

func (r *oldRoot) CustomerChangePassword(struct{ OldPassword, NewPassword string }) bool {
	return r.yes("customerChangePassword")
}

func (r *oldRoot) CustomerVerifyEmail(struct{ Token string }) bool {
	return r.yes("customerVerifyEmail")
}

func (r *oldRoot) CustomerResendVerificationEmail() bool {
	return r.yes("customerResendVerificationEmail")
}

func (r *oldRoot) CustomerEnrollMFA() oldEnrolment {
	r.e.reached.reached("customerEnrollMFA")
	return oldEnrolment{}
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

// CustomerVerifyMFA takes any six digits.
func (r *oldRoot) CustomerVerifyMFA(args struct{ Code string }) bool {
	r.e.reached.reached("customerVerifyMFA")
	return sixDigits.MatchString(args.Code)
}

func (r *oldRoot) CustomerDisableMFA(struct{ Password string }) bool {
	return r.yes("customerDisableMFA")
}

func (r *oldRoot) CustomerRegenerateBackupCodes(struct{ Password string }) []string {
	r.e.reached.reached("customerRegenerateBackupCodes")
	return oldEnrolment{}.BackupCodes()
}

func (r *oldRoot) CustomerRevokeSession(struct{ TokenID string }) bool {
	return r.yes("customerRevokeSession")
}

func (r *oldRoot) CustomerRevokeAllSessions() bool { return r.yes("customerRevokeAllSessions") }

func (r *oldRoot) CustomerUpdateProfile(ctx context.Context, _ struct {
	Input struct{ FirstName, LastName *string }
}) (personResolver, error) {
	r.e.reached.reached("customerUpdateProfile")
	return r.Me(ctx)
}

// asked is one operation as it was sent.
type asked struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
	Extensions    struct {
		PersistedQuery struct {
			Hash string `json:"sha256Hash"`
		} `json:"persistedQuery"`
	} `json:"extensions"`
}

// lenient reads a request the way the old backend does: whatever can be understood somehow is. Documents are kept under
// their hashes, for everybody and every tenant.
func (e *ERP) lenient(w http.ResponseWriter, r *http.Request) (list []asked, several bool, err error) {
	b := []byte(`{}`)
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		var one asked
		one.Query, one.OperationName = q.Get("query"), q.Get("operationName")
		_ = json.Unmarshal([]byte(q.Get("extensions")), &one.Extensions) // whatever can be understood
		list = []asked{one}
	} else if b, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)); err != nil {
		return nil, false, err
	}
	if strings.Contains(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, false, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, 1<<20)); err != nil {
			return nil, false, err
		}
	}
	if strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "utf-16") {
		units := make([]uint16, 0, len(b)/2)
		for i := 0; i+1 < len(b); i += 2 {
			units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
		}
		b = []byte(string(utf16.Decode(units)))
	}
	switch {
	case list != nil:
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/graphql"):
		list = []asked{{Query: string(b)}}
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte("[")):
		several = true
		err = json.Unmarshal(b, &list)
	default:
		list = make([]asked, 1)
		err = json.Unmarshal(b, &list[0])
	}
	e.reached.mu.Lock()
	defer e.reached.mu.Unlock()
	for i, one := range list {
		if one.Query == "" {
			list[i].Query = e.planted[one.Extensions.PersistedQuery.Hash]
		} else {
			sum := sha256.Sum256([]byte(one.Query))
			e.planted[hex.EncodeToString(sum[:])] = one.Query
		}
	}
	return list, several, err
}

// OldOperations are the operations that no request through a gate may reach, each with a document that does. The last
// is no part of the sign-in, and has no guard.
var OldOperations = map[string]string{
	"customerLogin":                   `mutation { customerLogin(email: "ann@buyer.example", password: "guess") { accessToken } }`,
	"customerRefreshToken":            `mutation { customerRefreshToken(refreshToken: "x") { accessToken } }`,
	"customerLogout":                  `mutation { customerLogout }`,
	"customerMe":                      `{ customerMe { id } }`,
	"customerRegister":                `mutation { customerRegister(customerCode: "C-1", email: "e@x.example", password: "p", firstName: "E", lastName: "X") { accessToken } }`,
	"customerRequestPasswordReset":    `mutation { customerRequestPasswordReset(email: "ann@buyer.example") }`,
	"customerResetPassword":           `mutation { customerResetPassword(token: "t", newPassword: "p") }`,
	"customerChangePassword":          `mutation { customerChangePassword(oldPassword: "o", newPassword: "p") }`,
	"customerVerifyEmail":             `mutation { customerVerifyEmail(token: "t") }`,
	"customerResendVerificationEmail": `mutation { customerResendVerificationEmail }`,
	"customerEnrollMFA":               `mutation { customerEnrollMFA { secret } }`,
	"customerVerifyMFA":               `mutation { customerVerifyMFA(code: "123456") }`,
	"customerDisableMFA":              `mutation { customerDisableMFA(password: "p") }`,
	"customerRegenerateBackupCodes":   `mutation { customerRegenerateBackupCodes(password: "p") }`,
	"customerActiveSessions":          `{ customerActiveSessions }`,
	"customerRevokeSession":           `mutation { customerRevokeSession(tokenId: "t") }`,
	"customerRevokeAllSessions":       `mutation { customerRevokeAllSessions }`,
	"supplierPrices":                  `{ supplierPrices(tenantId: "t") }`,
}
