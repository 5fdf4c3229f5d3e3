// Notices on account pages that the session has ended elsewhere, when the page is looked at again.
const prefix = document.querySelector("script[data-prefix]").dataset.prefix;
const look = async () => {
	if (document.visibilityState !== "visible") return;
	try {
		const r = await fetch(prefix + "/api/session", { headers: { Accept: "application/json" }, cache: "no-store" });
		if (r.status === 401) location.replace(prefix + "/login?ended=1&return_to=" + encodeURIComponent(location.pathname));
	} catch { /* offline: the page stays as it is */ }
};
document.addEventListener("visibilitychange", look);
addEventListener("pageshow", (e) => { if (e.persisted) look(); });
setInterval(look, 30000);
