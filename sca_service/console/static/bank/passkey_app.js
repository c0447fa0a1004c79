// The handset's passkey: made by the browser in its own window, and kept by it; this page never has the key.

import { hasPasskeys, makePasskey, showsPayments } from "./ceremony.js";
import { icon, make, say } from "./dom.js";
import { activate, enrol } from "./enrol.js";
import { keep, kept } from "./keep.js";
import { setupView } from "./setup_view.js";

export const PASSKEY = "passkey";
const TOLD = [
  "Your browser or security key keeps it, and asks for your finger, face or PIN: two elements in one.",
  "It works for this address only, so no other page can ask for it.",
];

export class PasskeyApp {
  name = "passkey";
  title = "Passkey";
  sign = "finger";
  #api;
  #payer;
  #mailbox;
  #made = null;

  constructor(api, payer, mailbox) {
    this.#api = api;
    this.#payer = payer;
    this.#mailbox = mailbox;
  }

  async open() {
    this.#made = (await kept(this.#payer, PASSKEY)) ?? null;
  }

  screen() {
    if (!hasPasskeys()) return make("p", { class: "none" }, "This browser has no passkeys.");
    const place = make("div", { class: "passkey" });
    if (this.#made) this.#show(place);
    else {
      place.append(
        setupView({
          sign: this.sign,
          told: TOLD,
          label: "Create a passkey",
          mailbox: this.#mailbox,
          work: (askCode) => this.#setUp(askCode),
          done: () => {
            say("The passkey is made.");
            this.#show(place);
          },
        }),
      );
    }
    return place;
  }

  async #setUp(askCode) {
    const wish = { type: "passkey", label: this.#payer.name, for_payments: await showsPayments() };
    const enrolled = await enrol(this.#api, this.#payer, wish, askCode);
    const passkey = await makePasskey(enrolled.passkey_options);
    const answer = await activate(this.#api, this.#payer, enrolled.authenticator.id, { passkey });
    if (answer.outcome !== "activated") throw new Error(`The passkey was not activated: ${answer.outcome}.`);
    this.#made = { id: enrolled.authenticator.id };
    await keep(this.#payer, PASSKEY, this.#made);
  }

  #show(place) {
    place.replaceChildren(
      make(
        "div",
        { class: "ended good" },
        icon("finger"),
        make("h4", {}, "Your passkey is ready"),
        make("p", {}, "Choose “Passkey” at the checkout; the browser asks for it."),
      ),
    );
  }
}
