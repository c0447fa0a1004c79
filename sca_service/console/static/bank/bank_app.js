// The bank's app on the handset: set up once with a key of its own; then it shows what is asked, and signs the answer.

import { approvalView, endOfApproval } from "./approval_view.js";
import { activateDevice, deviceOf } from "./device.js";
import { button, icon, make, say, whileBusy } from "./dom.js";
import { enrol } from "./enrol.js";
import { codeIn } from "./mailbox.js";
import { marked, timeOf } from "./messages_app.js";
import { setupView } from "./setup_view.js";
import { money } from "./words.js";

const TOLD = [
  "Set up once, this app confirms payments by a signature.",
  "Its key is made on this handset and never leaves it: not even this page can read it.",
];

export class BankApp {
  name = "bank";
  title = "Example Bank";
  sign = "bank";
  #api;
  #payer;
  #mailbox;
  #device = null;
  #place = make("div", { class: "bank-app" });

  constructor(api, payer, mailbox) {
    this.#api = api;
    this.#payer = payer;
    this.#mailbox = mailbox;
  }

  async open() {
    this.#device = await deviceOf(this.#payer);
  }

  screen() {
    this.#place.replaceChildren(make("p", { class: "none" }, "…"));
    this.show();
    return this.#place;
  }

  // What a push wants to be opened: the newest approval that waits, else the inbox.
  async show() {
    if (!this.#device) {
      this.#showInbox(
        [],
        setupView({
          sign: this.sign,
          told: TOLD,
          label: "Set up this phone",
          mailbox: this.#mailbox,
          work: (askCode) => this.#setUp(askCode),
          done: () => {
            say("The bank’s app is set up.");
            this.show();
          },
        }),
      );
      return;
    }
    try {
      const waiting = await this.#device.challenges();
      if (waiting.length === 1) this.#ask(waiting[0]);
      else this.#showInbox(waiting);
    } catch (fault) {
      this.#showInbox([], make("p", { class: "fault", role: "alert" }, fault.message));
    }
  }

  async #setUp(askCode) {
    const wish = { type: "device_key", label: `${this.#payer.name.split(" ")[0]}’s handset`, unlocked_by: null };
    const enrolled = await enrol(this.#api, this.#payer, wish, askCode);
    this.#device = await activateDevice(this.#payer, enrolled);
  }

  #ask(challenge) {
    this.#place.replaceChildren(
      approvalView(challenge, async (said) => {
        const answer = await this.#device.answer(challenge, said);
        if (answer.outcome === "incorrect") return answer;
        this.#place.replaceChildren(endOfApproval(answer.outcome, () => this.show()));
        this.#place.querySelector("h4").focus({ preventScroll: true });
        return answer;
      }),
    );
    this.#place.querySelector("h4").focus({ preventScroll: true });
  }

  #showInbox(waiting, ...notes) {
    const pushed = this.#mailbox.messages
      .filter((message) => message.channel === "push")
      .slice(-6)
      .toReversed();
    const check = button("Check for approvals", () => whileBusy(check, () => this.show()), { class: "plain" });
    this.#place.replaceChildren(
      ...notes,
      ...(this.#device
        ? [make("p", { class: "ready" }, icon("shield"), "Set up. The key stays on this handset.")]
        : []),
      waiting.length ? make("ol", { class: "waiting" }, ...waiting.map((challenge) => this.#waiting(challenge))) : "",
      this.#device ? check : "",
      pushed.length ? make("h4", {}, "Notifications") : "",
      make("ol", { class: "pushed" }, ...pushed.map(pushView)),
    );
  }

  #waiting(challenge) {
    const amount = challenge.transaction?.amount ?? challenge.transaction?.total;
    return make(
      "li",
      {},
      button(`${amount ? money(amount) : "Not a payment"} – answer`, () => this.#ask(challenge)),
    );
  }
}

function pushView(message) {
  return make(
    "li",
    {},
    make("small", {}, timeOf(message.at)),
    make("p", {}, ...marked(message.text, codeIn(message.text))),
  );
}
