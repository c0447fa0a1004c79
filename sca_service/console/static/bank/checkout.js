// The bank's checkout: an order, the challenge for it, and how it ended. Holds what goes on between these.

import { Challenge } from "./challenge.js";
import { ConfirmPanel } from "./confirm.js";
import { byId, whileBusy } from "./dom.js";
import { hasActive } from "./enrol.js";
import { OrderForm } from "./order.js";
import { endView, idleView } from "./outcome.js";

const NEEDS = {
  device_signature: [
    "device_key",
    "bank",
    "The payer’s handset has no key yet. Set up the bank’s app on it, then pay.",
  ],
  totp: [
    "totp",
    "authenticator",
    "The payer has no generator yet. Set up the Authenticator on the handset, then log in.",
  ],
  passkey: ["passkey", "passkey", "The payer has no passkey yet. Create one on the handset, then pay."],
  payment_confirmation: ["passkey", "passkey", "The payer has no passkey yet. Create one on the handset, then pay."],
};

export class Checkout {
  #with;
  #form = new OrderForm();
  #challenge = null;
  #panel = null;

  // `api`, `payer`, `mailbox`, `handset` and `log`.
  constructor(parts) {
    this.#with = parts;
    this.#form.addEventListener("order", (event) => whileBusy(byId("pay"), () => this.#begin(event.detail)));
  }

  async open() {
    idleView();
    await this.#form.open();
  }

  async #begin(order) {
    const { api, payer, mailbox, log } = this.#with;
    this.#form.fault("");
    const challenge = new Challenge(api, order);
    try {
      if (!(await this.#isReady(order))) return;
      await challenge.issue(payer);
    } catch (fault) {
      this.#form.fault(fault.message);
      return;
    }
    this.#challenge = challenge;
    mailbox.knows();
    log.follow(challenge.body.id);
    this.#form.lock(true);
    window.scrollTo(0, 0); // on a narrow screen the order gives way to what comes of it
    if (challenge.isFinal) {
      this.#end();
      return;
    }
    this.#panel = new ConfirmPanel(challenge);
    challenge.addEventListener("change", () => this.#changed());
    challenge.addEventListener("final", () => this.#end());
    this.#panel.open();
  }

  #changed() {
    this.#with.log.look();
    if (!this.#challenge.isFinal) this.#panel.update();
  }

  #end() {
    this.#panel?.close();
    this.#with.log.look();
    endView(this.#challenge, () => this.#startOver());
  }

  #startOver() {
    this.#challenge.stop();
    this.#challenge = null;
    this.#panel = null;
    idleView();
    this.#form.lock(false);
    byId("pay").focus({ preventScroll: true });
  }

  // A bank knows what its payer has enrolled. Where it is nothing for this method, the handset's app for it is opened.
  async #isReady(order) {
    const { api, payer, handset } = this.#with;
    const [type, app, told] = NEEDS[order.method] ?? [];
    if (!type || (await hasActive(api, payer, type))) return true;
    this.#form.fault(told);
    handset.point(app);
    return false;
  }
}
