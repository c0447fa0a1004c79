// The checkout's form: what is paid, to whom, and how the payer confirms it.

import { hasPasskeys, showsPayments } from "./ceremony.js";
import { byId } from "./dom.js";
import { grouped, money } from "./words.js";

const PAYMENTS_ONLY = ["payment_confirmation"];
const NEVER_FOR_PAYMENTS = "For logins only (RTS Art. 5)";

// Events: `order`, with what the form says in `detail`.
export class OrderForm extends EventTarget {
  #form = byId("order");

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("order", { detail: this.read() }));
    });
    this.#form.addEventListener("change", (event) => {
      if (event.target.name === "occasion") this.#fill();
      this.#show();
    });
    this.#form.amount.addEventListener("input", () => this.#show());
  }

  async open() {
    this.#fill();
    if (await showsPayments()) this.#choice("payment_confirmation").hidden = false;
    this.#show();
  }

  get isLogin() {
    return this.#form.occasion.value === "login";
  }

  read() {
    const form = this.#form;
    const transaction = this.isLogin
      ? null
      : {
          amount: { currency: "EUR", amount: form.amount.value.trim() },
          payee: { name: form.payee.value.trim(), account: { iban: form.iban.value.replace(/\s/g, "") } },
          reference: `order-${Date.now().toString(36)}`,
        };
    return {
      purpose: this.isLogin ? "login" : "payment",
      transaction,
      method: form.method.value,
      ladder: form.ladder.value.split(","),
      lost: [...form.querySelectorAll("[name=lost]:checked")].map((box) => box.value),
    };
  }

  // While a challenge is under way nothing of the order can be changed.
  lock(isLocked) {
    for (const field of this.#form.querySelectorAll("fieldset, .fields")) field.inert = isLocked;
    this.#form.classList.toggle("locked", isLocked);
    byId("pay").hidden = isLocked;
  }

  fault(text) {
    const place = byId("order-fault");
    place.textContent = text;
    place.hidden = !text;
  }

  #choice(method) {
    return this.#form.querySelector(`[data-method=${method}]`);
  }

  #fill() {
    const chosen = this.#form.querySelector("[name=occasion]:checked").dataset;
    if (!chosen.amount) return;
    this.#form.payee.value = chosen.payee;
    this.#form.amount.value = chosen.amount;
    this.#form.iban.value = grouped(chosen.iban);
  }

  #show() {
    const form = this.#form;
    this.fault("");
    byId("payment-fields").hidden = this.isLogin;
    for (const field of [form.payee, form.amount, form.iban]) field.disabled = this.isLogin;
    this.#allow("totp", this.isLogin, NEVER_FOR_PAYMENTS);
    this.#allow("passkey", hasPasskeys(), "This browser has no passkeys");
    for (const method of PAYMENTS_ONLY) this.#allow(method, !this.isLogin, "For payments only");
    if (form.querySelector("[name=method]:checked").disabled) form.method.value = "one_time_code";
    const isSent = form.method.value === "one_time_code";
    byId("ladder-fields").hidden = !isSent;
    const amount = Number(form.amount.value) > 0 ? money({ currency: "EUR", amount: form.amount.value }) : "";
    byId("pay-said").textContent = this.isLogin ? "Log in" : `Pay ${amount}`.trim();
  }

  #allow(method, isAllowed, why) {
    const choice = this.#choice(method);
    const told = choice.querySelector("[data-told]");
    choice.querySelector("input").disabled = !isAllowed;
    told.textContent = isAllowed ? told.dataset.told : why;
  }
}
