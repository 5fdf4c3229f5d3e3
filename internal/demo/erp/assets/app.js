// The demo portal's single-page program. Whatever the gate refuses with 401 sends the person to sign in, and back here.
const main = document.getElementById("main");
const el = (tag, props = {}, ...children) => {
	const e = Object.assign(document.createElement(tag), props);
	e.append(...children);
	return e;
};
let leaving = false;
const leave = (login = "/auth/login") => {
	if (leaving) return new Promise(() => {});
	leaving = true;
	location.assign(login + "?ended=1&return_to=" + encodeURIComponent(location.pathname + location.search));
	return new Promise(() => {});
};
const ask = async (url, options = {}) => {
	const r = await fetch(url, { cache: "no-store", ...options, headers: { Accept: "application/json", ...options.headers } });
	if (r.status === 401) {
		const body = await r.json().catch(() => ({}));
		return leave(body.login_url || body.errors?.[0]?.extensions?.loginUrl);
	}
	return r;
};
const query = async (text, variables) => {
	const r = await ask("/graphql", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ query: text, variables }) });
	const body = await r.json();
	if (body.errors) throw new Error(body.errors[0].message);
	return body.data;
};
const table = (heads, rows) => el("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Table of " + heads.filter(Boolean).join(", ") }, el("table", {},
	el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { textContent: h })))),
	el("tbody", {}, ...rows.map((r) => el("tr", {}, ...r.map((c) => el("td", {}, c)))))));
const title = (text) => { document.title = text + " - Customer portal"; return el("h1", { textContent: text }); };

const pages = {
	async home() {
		const { me, orders } = await query("{ me { name email role } orders { number item status } }");
		return [title("Good to see you, " + me.name), el("p", { textContent: me.email + " · " + me.role }),
			el("h2", { textContent: "Latest orders" }), table(["Order", "Item", "Status"], orders.slice(-3).reverse().map((o) => [el("a", { href: "/orders/" + o.number, textContent: o.number }), o.item, o.status]))];
	},
	async orders() {
		const { orders } = await query("{ orders { number item quantity status by } }");
		const form = el("form", { className: "new", method: "post", action: "/orders" },
			el("label", { textContent: "Item" }, el("input", { name: "item", required: true, maxLength: 100 })),
			el("label", { textContent: "Quantity" }, el("input", { name: "quantity", type: "number", min: 1, max: 100000, value: 100, required: true })),
			el("button", { textContent: "Order" }));
		return [title("Orders"), form, table(["Order", "Item", "Quantity", "Status", "By"], orders.reverse().map((o) => [el("a", { href: "/orders/" + o.number, textContent: o.number }), o.item, String(o.quantity), o.status, o.by]))];
	},
	async order(number) {
		const { orders } = await query("{ orders { number item quantity status by } }");
		const o = orders.find((x) => x.number === number);
		if (!o) return [title("Order " + number), el("p", { textContent: "There is no order with this number." })];
		return [title("Order " + o.number), table(["Item", "Quantity", "Status", "By"], [[o.item, String(o.quantity), o.status, o.by]]), el("p", {}, el("a", { href: "/orders", textContent: "All orders" }))];
	},
	async invoices() {
		const { invoices } = await query("{ invoices { number amount due paid } }");
		return [title("Invoices"), table(["Invoice", "Amount", "Due", ""], invoices.map((i) => [i.number, i.amount, i.due, i.paid ? "paid" : "open"]))];
	},
	async headers() {
		const got = await (await ask("/headers.json")).json();
		const a = got.assertion;
		const says = { verified: "The assertion is verified: signed by the gate, for this portal, still fresh.", missing: "There was no assertion.", refused: "The assertion was refused: " + a.why }[a.state];
		return [title("What the ERP received"), el("p", { className: a.state === "verified" ? "good" : "bad", id: "assertion", textContent: says }),
			table(["Header", "Value"], got.headers.map((h) => [h.Name, el("code", { textContent: h.Value })]))];
	},
};
const route = (path) => {
	if (path === "/orders") return ["orders"];
	if (path.startsWith("/orders/")) return ["order", decodeURIComponent(path.slice(8))];
	if (path.startsWith("/billing")) return ["invoices"];
	if (path === "/headers") return ["headers"];
	return ["home"];
};
const [name, arg] = route(location.pathname);
try {
	main.replaceChildren(...await pages[name](arg));
} catch (e) {
	main.replaceChildren(title("Something is missing"), el("p", { textContent: e.message }));
}

const look = async () => {
	if (document.visibilityState !== "visible") return;
	try {
		const s = await (await ask("/auth/api/session")).json();
		document.getElementById("company").textContent = s.tenant.name;
		document.getElementById("me").textContent = s.user.name;
	} catch { /* offline: the page stays as it is */ }
};
look();
document.addEventListener("visibilitychange", look);
setInterval(look, 15000);

const live = document.getElementById("live"), events = document.getElementById("events");
const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/feed");
socket.onmessage = (m) => { live.textContent = "Live feed: " + JSON.parse(m.data).text; };
socket.onclose = () => { live.textContent = "Live feed: closed"; look(); };
const source = new EventSource("/events");
source.onmessage = (m) => { events.textContent = "Events: " + JSON.parse(m.data).text; };
source.onerror = () => { events.textContent = "Events: closed"; look(); };
addEventListener("pagehide", () => { socket.close(); source.close(); });
