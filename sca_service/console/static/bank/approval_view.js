// What the bank's app shows of a challenge, and asks: the two digits and yes, or no. What is shown is what is signed.

import { button, icon, make, whileBusy } from "./dom.js";
import { grouped, money } from "./words.js";

const ENDS = {
  approved: ["check", "good", "Approved", "Signed with the key of this handset."],
  declined: ["hand", "bad", "Declined", "Your bank knows that this was not you. Nothing was paid."],
  transaction_mismatch: ["cross", "bad", "Not approved", "The payment changed in between."],
  expired: ["clock", "bad", "Too late", "This has expired."],
  blocked: ["lock", "bad", "Blocked", "Too many wrong answers."],
  already_used: ["check", "plain", "Answered already", "This was answered before."],
  cancelled: ["cross", "plain", "Cancelled", "Your bank took it back."],
};

// `answer(said)` signs and sends; it comes back only when the digits were wrong.
export function approvalView(challenge, answer) {
  const fault = make("p", { class: "fault", role: "alert", hidden: true });
  const digits = make("input", {
    id: "digits",
    inputmode: "numeric",
    pattern: "[0-9]{2}",
    maxlength: "2",
    required: true,
    autocomplete: "off",
    title: "The two digits on your bank’s page",
    placeholder: "··",
  });
  const send = async (element, said) =>
    whileBusy(element, async () => {
      fault.hidden = true;
      try {
        const came = await answer(said);
        if (came.outcome !== "incorrect") return;
        fault.textContent = `These are not the digits on your bank’s page. ${came.attempts_left} attempts left.`;
        digits.select();
      } catch (error) {
        fault.textContent = error.message;
      }
      fault.hidden = false;
    });
  const approve = make("button", { type: "submit", class: "primary" }, "Approve");
  const decline = button("No, this is not me", () => send(decline, { decision: "decline", reason: "not_me" }), {
    class: "decline",
  });
  return make(
    "form",
    {
      class: "approval",
      on: {
        submit: (event) => {
          event.preventDefault();
          send(approve, { decision: "approve", digits: digits.value });
        },
      },
    },
    ...asked(challenge),
    make("label", { for: "digits" }, "Digits on your bank’s page"),
    digits,
    fault,
    approve,
    decline,
  );
}

function asked({ purpose, transaction, message_shown: shown }) {
  if (!transaction)
    return [
      make("h4", { tabindex: "-1" }, purpose === "login" ? "Are you logging in?" : "Do you agree?"),
      make("p", {}, shown),
    ];
  const amount = transaction.amount ?? transaction.total;
  const payees = transaction.payee ? [transaction.payee] : transaction.payees.map((share) => share.payee);
  return [
    make("h4", { tabindex: "-1" }, "Are you paying this?"),
    make("p", { class: "amount" }, money(amount)),
    make(
      "dl",
      {},
      ...payees.flatMap((payee) => [
        make("dt", {}, "To"),
        make("dd", {}, payee.name),
        make("dt", {}, "Account"),
        make("dd", { class: "code" }, grouped(payee.account?.iban ?? payee.account?.bban ?? "–")),
      ]),
    ),
  ];
}

export function endOfApproval(outcome, back) {
  const [sign, tone, title, told] = ENDS[outcome] ?? ["cross", "plain", "Not answered", `Outcome: ${outcome}.`];
  return make(
    "div",
    { class: `ended ${tone}` },
    icon(sign),
    make("h4", { tabindex: "-1" }, title),
    make("p", {}, told),
    button("Done", back),
  );
}
