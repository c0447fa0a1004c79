// The handset's generator of time-based codes: reads the bank's URI once, and shows a code every thirty seconds.

import { make, say } from "./dom.js";
import { activate, enrol } from "./enrol.js";
import { keep, kept } from "./keep.js";
import { setupView } from "./setup_view.js";
import { codeAt, generatorFrom, secondsLeft, stepAt } from "./totp.js";

export const GENERATOR = "generator";
const TOLD = [
  "Shows codes for logins, with no network at all.",
  "Your bank gives the seed once; this handset keeps it as a key that nothing can read out.",
];

export class AuthenticatorApp {
  name = "authenticator";
  title = "Authenticator";
  sign = "clock";
  #api;
  #payer;
  #mailbox;
  #generator = null;

  constructor(api, payer, mailbox) {
    this.#api = api;
    this.#payer = payer;
    this.#mailbox = mailbox;
  }

  async open() {
    this.#generator = (await kept(this.#payer, GENERATOR)) ?? null;
  }

  screen() {
    const place = make("div", { class: "generator" });
    if (this.#generator) this.#show(place);
    else {
      place.append(
        setupView({
          sign: this.sign,
          told: TOLD,
          label: "Add my bank",
          mailbox: this.#mailbox,
          work: (askCode) => this.#setUp(askCode),
          done: () => {
            say("The generator is set up.");
            this.#show(place);
          },
        }),
      );
    }
    return place;
  }

  // Activated with the code of the period before: the service takes it (`look_back_steps`), and the one that is shown
  // now stays good for a login. Each is accepted once.
  async #setUp(askCode) {
    const enrolled = await enrol(this.#api, this.#payer, { type: "totp", label: this.#payer.name }, askCode);
    const generator = { id: enrolled.authenticator.id, ...(await generatorFrom(enrolled.otpauth_uri)) };
    for (const back of [1, 0]) {
      const code = await codeAt(generator, stepAt(generator, Date.now()) - back);
      const answer = await activate(this.#api, this.#payer, generator.id, { code });
      if (answer.outcome === "activated") {
        await keep(this.#payer, GENERATOR, generator);
        this.#generator = generator;
        return;
      }
    }
    throw new Error("The bank did not take the first code: is this machine’s clock right?");
  }

  #show(place) {
    const generator = this.#generator;
    const code = make("output", { class: "one-time", id: "generated" });
    const track = make("progress", { max: generator.period, value: 0, "aria-label": "Seconds left" });
    const left = make("small", {});
    place.replaceChildren(make("p", { class: "issuer" }, generator.issuer), code, track, left);
    let shown = null;
    const tick = async () => {
      if (timer && !place.isConnected) return clearInterval(timer);
      const now = Date.now();
      const step = stepAt(generator, now);
      if (step !== shown) {
        shown = step;
        const digits = await codeAt(generator, step);
        code.value = `${digits.slice(0, 3)} ${digits.slice(3)}`;
      }
      track.value = secondsLeft(generator, now);
      left.textContent = `${secondsLeft(generator, now)} s`;
    };
    let timer = null;
    tick();
    timer = setInterval(tick, 400);
  }
}
