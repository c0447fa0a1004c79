// One event of the log in full: its JSON, and the proof that it is in the log, for anybody's verifier.

import { button, byId, make } from "./dom.js";

export function leafDialog(event, title, proof) {
  const dialog = byId("leaf");
  const close = button("Close", () => dialog.close(), { class: "plain" });
  dialog.replaceChildren(
    make("header", {}, make("h2", { id: "leaf-title" }, title), close),
    make(
      "p",
      {},
      "Nothing personal stands in it: amount, payee and number are commitments, which only the bank’s values open.",
    ),
    block("Event", JSON.stringify(event, null, 2)),
    proof
      ? block("Inclusion proof (C2SP tlog-proof)", proof)
      : make("p", {}, "The next checkpoint has its proof, in a second or so."),
    make(
      "p",
      {},
      make(
        "a",
        { href: event.challenge ? `/desk/challenges/${event.challenge}` : "/desk" },
        "Verify it at the auditor’s desk",
      ),
    ),
  );
  dialog.showModal();
}

function block(name, text) {
  return make("figure", {}, make("figcaption", {}, name), make("pre", { tabindex: "0", "aria-label": name }, text));
}
