// Package erp is the demo's upstream: a believable customer portal that trusts nobody but the gate. It is a small
// single-page program with orders, invoices and a form, a GraphQL endpoint, a live feed over WebSocket and another over
// server-sent events, and a page that shows exactly what it was told about the person and whether the assertion holds.
//
// It refuses every request without a valid assertion, files aside: that is the sample of how an upstream protects
// itself from whoever reaches it around the gate (CFG-05). In old-guard mode it is a double of the backend that stays
// as it is: it knows nothing of assertions and believes a bearer token made with its own secret.
//
// It is a stand-alone upstream and imports nothing of the gate. When the gate's key set cannot be fetched, it refuses.
package erp
