// What a page gains where scripts run: a password can be looked at, caps lock is noticed, a second click sends nothing,
// times are the reader's own, and a sign-in in another tab is noticed here.
for (const button of document.querySelectorAll("[data-show]")) {
	const input = document.getElementById(button.dataset.show);
	const said = Object.assign(document.createElement("span"), { className: "vh" });
	said.setAttribute("role", "status");
	button.after(said);
	const set = (shown) => {
		input.type = shown ? "text" : "password";
		button.textContent = shown ? "Hide" : "Show";
		button.setAttribute("aria-label", shown ? "Hide password" : "Show password");
	};
	set(false);
	button.hidden = false;
	button.addEventListener("click", () => {
		const shown = input.type === "password";
		set(shown);
		said.textContent = shown ? "Your password is shown" : "Your password is hidden";
	});
	input.form.addEventListener("submit", () => { set(false); said.textContent = ""; });
}
for (const line of document.querySelectorAll("[data-caps]")) {
	const input = document.getElementById(line.dataset.caps);
	const look = (e) => {
		if (e.getModifierState) line.textContent = e.getModifierState("CapsLock") ? "Caps lock is on." : "";
	};
	input.addEventListener("keydown", look);
	input.addEventListener("keyup", look);
	input.addEventListener("blur", () => { line.textContent = ""; });
}
for (const input of document.querySelectorAll("[data-meter]")) {
	const line = document.getElementById(input.id + "-strength");
	input.addEventListener("input", async () => {
		try { (await import(input.dataset.meter)).watch(input, line); } catch { /* without it the server says what is wrong */ }
	}, { once: true });
}
for (const form of document.querySelectorAll("form[data-once]")) {
	const open = () => {
		delete form.dataset.sent;
		for (const b of form.querySelectorAll("[aria-busy]")) b.removeAttribute("aria-busy");
	};
	form.addEventListener("submit", (e) => {
		if (form.dataset.sent) { e.preventDefault(); return; }
		form.dataset.sent = "1";
		const b = e.submitter || form.querySelector("button.main");
		if (b) b.setAttribute("aria-busy", "true");
		setTimeout(open, 15000); // stopped by hand, or a line that broke: the button works again
	});
	addEventListener("pageshow", open);
}
// What was typed into one page's address field stands in the next page's, and in no address.
for (const input of document.querySelectorAll("[data-carry]")) {
	const key = "portalgate-" + input.dataset.carry;
	try {
		if (!input.value) input.value = sessionStorage.getItem(key) || "";
		sessionStorage.removeItem(key);
		document.addEventListener("click", (e) => { if (e.target.closest("main a") && input.value.length < 255) sessionStorage.setItem(key, input.value); });
	} catch { /* no storage: it is typed again */ }
}
if (document.querySelector("[data-secret]")) history.replaceState(null, "", location.pathname + "?opened=1"); // a page that is loaded again says what to do
const zoned = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" };
const full = { day: "numeric", month: "long", year: "numeric", ...zoned };
for (const t of document.querySelectorAll("time[datetime]")) {
	const words = new Intl.DateTimeFormat("en-GB", t.dataset.as === "clock" ? zoned : full).format(new Date(t.dateTime)).replace(" at ", ", ");
	if (t.dataset.as) t.textContent = words;
	else t.title = words;
}
const form = document.querySelector("form[data-session]");
if (form) document.addEventListener("visibilitychange", async () => {
	if (document.visibilityState !== "visible" || form.dataset.sent) return;
	try {
		const r = await fetch(form.dataset.session, { headers: { Accept: "application/json" }, cache: "no-store" });
		// Signed in elsewhere: the sign-in page knows the way on.
		if (r.ok) location.replace(form.action + "?return_to=" + encodeURIComponent(form.elements.return_to.value));
	} catch { /* offline: the page stays as it is */ }
});
for (const button of document.querySelectorAll("[data-scripted]")) button.hidden = false;
for (const note of document.querySelectorAll("[data-noscript]")) note.remove();
// A code that is whole is sent by itself, once: whoever corrects it afterwards sends it by hand.
for (const input of document.querySelectorAll("[data-digits]")) {
	let sent = false;
	input.addEventListener("input", () => {
		if (sent || input.value.replace(/[\s-]/g, "").length !== Number(input.dataset.digits) || /[^\p{Nd}\s-]/u.test(input.value)) return;
		sent = true;
		input.form.requestSubmit();
	});
}
const said = (button, words) => {
	const line = Object.assign(document.createElement("span"), { className: "said" });
	line.setAttribute("role", "status");
	button.after(line);
	return () => { line.textContent = words; };
};
for (const button of document.querySelectorAll("[data-copy]")) {
	const what = document.getElementById(button.dataset.copy), tell = said(button, " Copied");
	button.hidden = !navigator.clipboard;
	button.addEventListener("click", async () => {
		try { await navigator.clipboard.writeText(what.textContent.trim()); tell(); } catch { getSelection().selectAllChildren(what); }
	});
}
for (const button of document.querySelectorAll("[data-save]")) {
	const what = document.getElementById(button.dataset.save);
	button.hidden = false;
	button.addEventListener("click", () => {
		const href = URL.createObjectURL(new Blob([what.dataset.head + "\n" + location.origin + "\n\n" + what.textContent.trim() + "\n"], { type: "text/plain" }));
		Object.assign(document.createElement("a"), { href, download: what.dataset.file }).click();
		setTimeout(() => URL.revokeObjectURL(href), 1000);
	});
}
for (const button of document.querySelectorAll("[data-print]")) {
	button.hidden = false;
	button.addEventListener("click", () => print());
}
(document.querySelector("[aria-invalid][data-focus-field]") || document.querySelector("[data-focus]"))?.focus();
