// Passkeys: by a button, and on the sign-in page by what the browser offers in the address field.
const buttons = [...document.querySelectorAll("[data-passkey]")];
const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
// For browsers that cannot read the options, or write the answer, by themselves.
const read = (o, making) => {
	const parse = making ? PublicKeyCredential.parseCreationOptionsFromJSON : PublicKeyCredential.parseRequestOptionsFromJSON;
	if (parse) return parse.call(PublicKeyCredential, o);
	const known = (list) => list?.map((c) => ({ ...c, id: bytes(c.id) }));
	const out = { ...o, challenge: bytes(o.challenge) };
	if (making) { out.user = { ...o.user, id: bytes(o.user.id) }; out.excludeCredentials = known(o.excludeCredentials); }
	else out.allowCredentials = known(o.allowCredentials);
	return out;
};
const write = (c) => {
	try { if (c.toJSON) return JSON.stringify(c.toJSON()); } catch { /* some password managers answer with less than they should */ }
	const response = {};
	for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) if (c.response[part]) response[part] = text(c.response[part]);
	if (c.response.getTransports) response.transports = c.response.getTransports();
	return JSON.stringify({ id: c.id, rawId: text(c.rawId), type: c.type, response, clientExtensionResults: c.getClientExtensionResults(), authenticatorAttachment: c.authenticatorAttachment ?? undefined });
};
const sentences = {
	NotAllowedError: "It was cancelled, or took too long. Try again when you are ready.",
	InvalidStateError: "This device already has a passkey for your account.",
	NotSupportedError: "This device cannot make such a passkey. Try another one.",
	ConstraintError: "This device cannot make such a passkey. Try another one.",
	SecurityError: "Passkeys work only at the portal’s own address, over a secure connection.",
};
let waiting; // the question that stands behind the address field
const options = async (button, making) => {
	const r = await fetch(button.dataset.options, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify({ purpose: button.dataset.passkey }), cache: "no-store" });
	const o = await r.json();
	if (!r.ok) throw Object.assign(new Error(o.detail), { said: o.detail });
	return { publicKey: read(o, making) };
};
const send = (form, credential) => {
	form.elements.credential.value = write(credential);
	form.noValidate = true;
	form.requestSubmit();
};
for (const button of window.PublicKeyCredential ? buttons : []) {
	const form = button.form, said = form.querySelector("[data-said]"), making = button.dataset.passkey === "register";
	button.hidden = false;
	button.addEventListener("click", async () => {
		if (button.getAttribute("aria-busy")) return;
		waiting?.abort();
		button.setAttribute("aria-busy", "true");
		said.textContent = "";
		try {
			const o = await options(button, making);
			send(form, await (making ? navigator.credentials.create(o) : navigator.credentials.get(o)));
		} catch (e) {
			said.textContent = e.said || sentences[e.name] || "This did not work. Try again, or use another way.";
			button.removeAttribute("aria-busy");
		}
	});
}
// Whoever signs in with a password hears of passkeys where this device can make one.
for (const field of document.querySelectorAll("input[name=makes]")) {
	window.PublicKeyCredential?.isUserVerifyingPlatformAuthenticatorAvailable?.().then((can) => { field.value = can ? "1" : ""; }, () => { /* then nobody is asked */ });
}
// What was removed here need not stand in the browser's list either. A browser that cannot be told keeps it.
for (const list of document.querySelectorAll("[data-accepted]")) {
	for (const accepted of JSON.parse(list.dataset.accepted)) window.PublicKeyCredential?.signalAllAcceptedCredentials?.(accepted).catch(() => { /* as before */ });
}
if (!window.PublicKeyCredential) for (const note of document.querySelectorAll("[data-nokeys]")) note.hidden = false;
const door = buttons.find((b) => b.dataset.passkey === "login");
const offer = async () => {
	if (!door || !await window.PublicKeyCredential?.isConditionalMediationAvailable?.()) return;
	waiting = new AbortController();
	const { signal } = waiting;
	try {
		const o = await options(door, false);
		if (!signal.aborted) send(door.form, await navigator.credentials.get({ ...o, mediation: "conditional", signal }));
	} catch { /* nobody has asked for it: there is nothing to say */ }
};
offer();
