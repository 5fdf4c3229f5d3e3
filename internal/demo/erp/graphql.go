package erp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/graph-gophers/graphql-go"
)

const schemaText = `
type Query { me: Person!, customerMe: Person!, orders: [Order!]!, invoices: [Invoice!]! }
type Mutation { createOrder(item: String!, quantity: Int!): Order! }
type Person { id: ID!, email: String!, name: String!, role: String!, tenantId: ID! }
type Order { number: ID!, item: String!, quantity: Int!, status: String!, by: String! }
type Invoice { number: ID!, amount: String!, due: String!, paid: Boolean! }`

type order struct {
	Number   string `json:"number"`
	Item     string `json:"item"`
	Quantity int32  `json:"quantity"`
	Status   string `json:"status"`
	By       string `json:"by"`
}

type invoice struct {
	Number, Amount, Due string
	Paid                bool
}

// books are the orders and invoices of each tenant, in memory.
type books struct {
	now    func() time.Time
	mu     sync.Mutex
	orders map[string][]order
}

func newBooks(now func() time.Time) *books { return &books{now: now, orders: map[string][]order{}} }

var wares = []string{"Corrugated boxes 400 x 300", "Kraft paper rolls", "Printed sleeves, two colours", "Pallet covers", "Shipping labels A6"}

// of is a tenant's orders; each tenant begins with its own.
func (b *books) of(tenant string) []order {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.orders[tenant] == nil {
		seed := 0
		for _, c := range tenant {
			seed = (seed*31 + int(c)) % 9000
		}
		for i, ware := range wares {
			b.orders[tenant] = append(b.orders[tenant], order{strconv.Itoa(1000 + seed + i), ware, int32(50 * (i + 1)), []string{"shipped", "in production", "confirmed"}[i%3], "Phone order"})
		}
	}
	return append([]order(nil), b.orders[tenant]...)
}

func (b *books) add(tenant, item, quantity, by string) order {
	list := b.of(tenant)
	n, err := strconv.Atoi(quantity)
	if err != nil || n < 1 || n > 100000 {
		n = 1
	}
	if item == "" || len(item) > 100 {
		item = wares[0]
	}
	last, _ := strconv.Atoi(list[len(list)-1].Number) // all numbers are our own
	o := order{strconv.Itoa(last + 1), item, int32(n), "received", by}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders[tenant] = append(b.orders[tenant], o)
	return o
}

func (b *books) invoices(tenant string) []invoice {
	var out []invoice
	for i, o := range b.of(tenant) {
		due := b.now().AddDate(0, 0, 14-7*i)
		out = append(out, invoice{"INV-" + o.Number, fmt.Sprintf("%d.%02d €", int(o.Quantity)*3, (i*37)%100), due.Format("2 January 2006"), i%2 == 1})
	}
	return out
}

func (b *books) tick(tenant string, n int) map[string]any {
	list := b.of(tenant)
	sort.Slice(list, func(i, j int) bool { return list[i].Number < list[j].Number })
	o := list[n%len(list)]
	return map[string]any{"at": b.now().UTC().Format(time.RFC3339), "text": fmt.Sprintf("Order %s: %s, %s", o.Number, o.Item, o.Status)}
}

type contextKey struct{}

type caller struct {
	who person
	err error
}

type root struct{ e *ERP }

// guarded is the person of a GraphQL request; in old-guard mode each resolver is guarded by itself.
func (r *root) guarded(ctx context.Context) (person, error) {
	c, _ := ctx.Value(contextKey{}).(caller)
	if c.err != nil {
		return person{}, guardError{c.err}
	}
	if c.who.User == "" {
		return person{}, guardError{errNobody}
	}
	return c.who, nil
}

// guardError is a refusal with the code that the old browser code looks for.
type guardError struct{ error }

// Extensions carries the code.
func (guardError) Extensions() map[string]any { return map[string]any{"code": "UNAUTHENTICATED"} }

type personResolver struct{ p person }

func (r personResolver) ID() graphql.ID       { return graphql.ID(r.p.User) }
func (r personResolver) Email() string        { return r.p.Email }
func (r personResolver) Name() string         { return r.p.Name }
func (r personResolver) Role() string         { return r.p.Role }
func (r personResolver) TenantID() graphql.ID { return graphql.ID(r.p.Tenant) }

type orderResolver struct{ o order }

func (r orderResolver) Number() graphql.ID { return graphql.ID(r.o.Number) }
func (r orderResolver) Item() string       { return r.o.Item }
func (r orderResolver) Quantity() int32    { return r.o.Quantity }
func (r orderResolver) Status() string     { return r.o.Status }
func (r orderResolver) By() string         { return r.o.By }

type invoiceResolver struct{ i invoice }

func (r invoiceResolver) Number() graphql.ID { return graphql.ID(r.i.Number) }
func (r invoiceResolver) Amount() string     { return r.i.Amount }
func (r invoiceResolver) Due() string        { return r.i.Due }
func (r invoiceResolver) Paid() bool         { return r.i.Paid }

func (r *root) Me(ctx context.Context) (personResolver, error) {
	p, err := r.guarded(ctx)
	return personResolver{p}, err
}

func (r *root) CustomerMe(ctx context.Context) (personResolver, error) { return r.Me(ctx) }

func (r *root) Orders(ctx context.Context) ([]orderResolver, error) {
	p, err := r.guarded(ctx)
	if err != nil {
		return nil, err
	}
	var out []orderResolver
	for _, o := range r.e.books.of(p.Tenant) {
		out = append(out, orderResolver{o})
	}
	return out, nil
}

func (r *root) Invoices(ctx context.Context) ([]invoiceResolver, error) {
	p, err := r.guarded(ctx)
	if err != nil {
		return nil, err
	}
	var out []invoiceResolver
	for _, i := range r.e.books.invoices(p.Tenant) {
		out = append(out, invoiceResolver{i})
	}
	return out, nil
}

func (r *root) CreateOrder(ctx context.Context, args struct {
	Item     string
	Quantity int32
}) (orderResolver, error) {
	p, err := r.guarded(ctx)
	if err != nil {
		return orderResolver{}, err
	}
	return orderResolver{r.e.books.add(p.Tenant, args.Item, strconv.Itoa(int(args.Quantity)), p.Name)}, nil
}

// graphql serves the endpoint; errors are answered with status 200, as the old backend does.
func (e *ERP) graphql() http.Handler {
	text, resolver, read := schemaText, any(&root{e}), e.strict
	if e.o.OldGuard != nil {
		text, resolver, read = schemaText+oldSchemaText, &oldRoot{root{e}}, e.lenient
	}
	schema := graphql.MustParseSchema(text, resolver, graphql.MaxDepth(10))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, several, err := read(w, r)
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"errors": []any{map[string]any{"message": "Unexpected token in JSON"}}})
			return
		}
		who, err := e.who(r)
		ctx := context.WithValue(r.Context(), contextKey{}, caller{who, err})
		var out []any
		for _, in := range list {
			out = append(out, schema.Exec(ctx, in.Query, in.OperationName, in.Variables))
		}
		if several {
			answer(w, http.StatusOK, out)
			return
		}
		answer(w, http.StatusOK, out[0])
	})
}

// strict reads one operation.
func (e *ERP) strict(w http.ResponseWriter, r *http.Request) (list []asked, several bool, err error) {
	var in asked
	if r.Method == http.MethodGet {
		in.Query = r.URL.Query().Get("query")
	} else {
		err = json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in)
	}
	return []asked{in}, false, err
}
