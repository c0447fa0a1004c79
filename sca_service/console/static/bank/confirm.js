// The checkout's right half while a challenge is pending: what the payer is to do, and what the bank may try.

import { confirmPayment, signWithPasskey } from "./ceremony.js";
import { button, byId, icon, make, say, whileBusy } from "./dom.js";
import { ladderView } from "./ladder_view.js";
import { clockOf, OUTCOMES } from "./words.js";

const TITLES = {
  one_time_code: "Type the code from your handset",
  totp: "Type the code from your generator",
  device_signature: "Approve on your handset",
  passkey: "Confirm with your passkey",
  payment_confirmation: "Confirm in the browser’s own window",
};

export class ConfirmPanel {
  #place = byId("confirm");
  #challenge;
  #parts = {};
  #timer;

  constructor(challenge) {
    this.#challenge = challenge;
  }

  open() {
    const { order } = this.#challenge;
    const parts = this.#parts;
    parts.left = make("b", {});
    parts.track = make("progress", { max: 1, value: 1, "aria-label": "Time left" });
    parts.fault = make("p", { class: "fault", role: "alert", hidden: true });
    parts.ladder = make("ol", { class: "rungs", "aria-label": "Where the code goes" });
    parts.next = button("Send it another way", () => this.#doing(parts.next, () => this.#challenge.next()), {
      class: "plain",
    });
    this.#place.replaceChildren(
      make("p", { class: "eyebrow" }, order.transaction ? "The payer is shown" : "Not a payment"),
      make("h3", { id: "confirm-title", tabindex: "-1" }, TITLES[order.method]),
      make("p", { class: "shown" }, this.#challenge.body.message_shown),
      make("div", { class: "time" }, parts.track, make("span", {}, "Time left ", parts.left)),
      this.#asks(order.method),
      parts.fault,
      order.method === "one_time_code" ? make("div", { class: "ladder-now" }, parts.ladder, parts.next) : "",
      this.#trials(order),
    );
    this.#place.className = "confirm pending";
    this.update();
    this.#timer = setInterval(() => this.#tick(), 500);
    (parts.code ?? byId("confirm-title")).focus({ preventScroll: true });
  }

  close() {
    clearInterval(this.#timer);
  }

  update() {
    const { body, order } = this.#challenge;
    if (this.#parts.digits) this.#parts.digits.replaceChildren(...digitsOf(body.matching_digits));
    if (order.method === "one_time_code") {
      this.#parts.ladder.replaceChildren(...ladderView(order.ladder, body));
      this.#parts.next.hidden = new Set(body.deliveries.map((one) => one.channel)).size >= order.ladder.length;
    }
    this.#tick();
  }

  #tick() {
    const { body } = this.#challenge;
    const ends = Date.parse(body.expires_at);
    const left = (ends - Date.now()) / 1000;
    this.#parts.left.textContent = clockOf(left);
    this.#parts.track.value = Math.max(0, (left * 1000) / (ends - Date.parse(body.created_at)));
  }

  #asks(method) {
    if (method === "device_signature") return this.#digits();
    if (method === "passkey" || method === "payment_confirmation") return this.#ceremony(method);
    return this.#codeForm(method);
  }

  #digits() {
    this.#parts.digits = make("p", { class: "digits" });
    return make(
      "div",
      { class: "matching" },
      this.#parts.digits,
      make("p", {}, "Open the bank’s app on the handset, look at amount and payee, and type these two digits there."),
    );
  }

  #ceremony(method) {
    const sign = button(
      "Confirm",
      () =>
        this.#doing(sign, async () => {
          const { body } = this.#challenge;
          const asked =
            method === "passkey" ? signWithPasskey(body.passkey_request) : confirmPayment(body.payment_request);
          await this.#verified({ passkey: await asked });
        }),
      { class: "primary", id: "sign" },
    );
    return make("div", { class: "ceremony" }, icon("finger"), sign);
  }

  #codeForm(method) {
    const code = make("input", {
      id: "code",
      name: "code",
      inputmode: "numeric",
      autocomplete: "one-time-code",
      pattern: "[0-9]{4,12}",
      maxlength: "12",
      required: true,
      title: "The digits of the code",
      "aria-describedby": "code-said",
      placeholder: "······",
    });
    const send = make("button", { type: "submit", class: "primary" }, "Confirm");
    this.#parts.code = code;
    const said = method === "totp" ? "In the Authenticator app" : "In the message, behind amount and payee";
    return make(
      "form",
      {
        class: "code",
        on: {
          submit: (event) => {
            event.preventDefault();
            this.#doing(send, () => this.#verified({ code: code.value }));
          },
        },
      },
      make("label", { for: "code" }, "Code"),
      code,
      send,
      make("small", { id: "code-said" }, said),
    );
  }

  // What must fail, to be tried. Each is a real call.
  #trials(order) {
    const parts = this.#parts;
    const tries = [];
    if (parts.code) {
      tries.push(
        button("Send a wrong code", (event) =>
          this.#doing(event.target, () => this.#verified({ code: wrongCode(parts.code.value) })),
        ),
      );
    }
    if (order.transaction && order.method === "one_time_code") {
      tries.push(
        button("Change a cent before paying", (event) =>
          this.#doing(event.target, async () => {
            if (!parts.code.reportValidity()) return;
            await this.#verified({ code: parts.code.value }, { isChanged: true });
          }),
        ),
      );
    }
    tries.push(button("Cancel", (event) => this.#doing(event.target, () => this.#challenge.cancel())));
    return make("div", { class: "trials", role: "group", "aria-label": "Try what must fail" }, ...tries);
  }

  async #verified(answer, change) {
    const verified = await this.#challenge.verify(answer, change);
    if (this.#challenge.isFinal) return;
    this.#fault(`${OUTCOMES[verified.outcome]} ${verified.attempts_left} attempts left.`);
    this.#parts.code?.select();
  }

  #doing(element, work) {
    return whileBusy(element, async () => {
      this.#fault("");
      try {
        await work();
      } catch (fault) {
        this.#fault(fault.message);
      }
    });
  }

  #fault(text) {
    this.#parts.fault.textContent = text;
    this.#parts.fault.hidden = !text;
    if (text) say(text);
  }
}

function digitsOf(digits) {
  return [...(digits ?? "··")].map((digit) => make("span", {}, digit));
}

// A code that is surely not the one in the field.
function wrongCode(code) {
  const digits = /^\d{4,12}$/.test(code) ? code : "000000";
  return String((Number(digits) + 1) % 10 ** digits.length).padStart(digits.length, "0");
}
