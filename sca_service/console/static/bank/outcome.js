// The checkout's right half when a challenge is over, and before any: how it ended, and what the bank keeps of it.

import { button, byId, icon, make, say, whileBusy } from "./dom.js";
import { claimsOf } from "./encoding.js";
import { ENDS, OUTCOMES, REASONS } from "./words.js";

const CLAIMS = {
  jti: "Number of this code",
  iss: "Issued by",
  aud: "For",
  sub: "Payer",
  challenge: "Challenge",
  purpose: "Purpose",
  transaction: "Digest of the transaction",
  elements: "Elements",
  decision: "Decision",
  digits: "Digits",
  iat: "Issued at",
  exp: "Expires at",
  sca: "Strong authentication",
};

export function idleView() {
  const steps = [
    ["card", "The bank asks for a confirmation of one payment."],
    ["phone", "The payer sees amount and payee on the handset, and confirms."],
    ["chain", "Each step is an event of a log that proves itself."],
  ];
  const place = byId("confirm");
  place.className = "confirm idle";
  place.replaceChildren(
    make("h3", { id: "confirm-title" }, "Nothing to confirm yet"),
    make("ol", {}, ...steps.map(([sign, told]) => make("li", {}, icon(sign), make("span", {}, told)))),
  );
}

export function endView(challenge, startOver) {
  const { body, order, code, authenticationCode } = challenge;
  const end = ENDS[body.status];
  const title = order.transaction ? end.title : (end.login ?? end.title);
  const place = byId("confirm");
  place.className = `confirm end ${end.tone}`;
  place.replaceChildren(
    make(
      "div",
      { class: "verdict" },
      icon(end.sign),
      make(
        "div",
        {},
        make("h3", { id: "confirm-title", tabindex: "-1", "data-status": body.status }, title),
        make("p", { class: "shown" }, body.message_shown),
      ),
    ),
    make(
      "p",
      { class: "told" },
      [REASONS[body.reason] ?? end.told, ...body.risk.reasons.map((one) => one.replaceAll("_", " "))].join(" "),
    ),
    make(
      "div",
      { class: "trials" },
      button("Start over", startOver, { class: "primary", id: "again" }),
      code && body.status === "approved" ? againButton(challenge, code) : "",
    ),
    make("p", { class: "fault", role: "alert", id: "again-said", hidden: true }),
    authenticationCode ? proofView(authenticationCode) : "",
  );
  say(`${title}. ${end.told}`);
  byId("confirm-title").focus({ preventScroll: true });
}

function againButton(challenge, code) {
  const again = button("Send the same code again", () =>
    whileBusy(again, async () => {
      const said = byId("again-said");
      try {
        const verified = await challenge.verify({ code });
        said.textContent = OUTCOMES[verified.outcome];
        said.dataset.outcome = verified.outcome;
      } catch (fault) {
        said.textContent = fault.message;
      }
      said.hidden = false;
      say(said.textContent);
    }),
  );
  return again;
}

function proofView(authenticationCode) {
  const claims = Object.entries(claimsOf(authenticationCode)).map(([name, value]) =>
    make(
      "div",
      {},
      make("dt", { title: name }, CLAIMS[name] ?? name),
      make("dd", { title: said(name, value) }, said(name, value)),
    ),
  );
  return make(
    "div",
    { class: "proof" },
    make("h4", {}, icon("shield"), "Authentication code"),
    make("p", {}, "Signed, and accepted once. The bank stores it as its proof (RTS Art. 4(1))."),
    make("dl", { id: "claims" }, ...claims),
    make("details", {}, make("summary", {}, "As it is stored"), make("pre", { tabindex: "0" }, authenticationCode)),
  );
}

function said(name, value) {
  if (name === "iat" || name === "exp")
    return new Date(value * 1000).toISOString().replace("T", " ").replace(".000Z", " UTC");
  if (typeof value === "boolean") return value ? "yes" : "no";
  return Array.isArray(value) ? value.join(" + ") : String(value);
}
