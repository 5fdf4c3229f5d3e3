// What a form gains where scripts run: a password can be looked at, caps lock is noticed, a second click sends nothing.
for (const button of document.querySelectorAll("[data-show]")) {
	const input = document.getElementById(button.dataset.show);
	button.hidden = false;
	const set = (shown) => {
		input.type = shown ? "text" : "password";
		button.textContent = shown ? "Hide" : "Show";
		button.setAttribute("aria-label", shown ? "Hide password" : "Show password");
	};
	set(false);
	button.addEventListener("click", () => set(input.type === "password"));
	input.form.addEventListener("submit", () => set(false));
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
for (const form of document.querySelectorAll("form[data-once]")) {
	form.addEventListener("submit", (e) => {
		if (form.dataset.sent) { e.preventDefault(); return; }
		form.dataset.sent = "1";
		const b = e.submitter || form.querySelector("button.main");
		if (b) b.setAttribute("aria-busy", "true");
	});
	addEventListener("pageshow", () => {
		delete form.dataset.sent;
		for (const b of form.querySelectorAll("[aria-busy]")) b.removeAttribute("aria-busy");
	});
}
document.querySelector("[data-focus]")?.focus();
