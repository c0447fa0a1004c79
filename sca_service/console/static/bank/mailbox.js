// What arrives on the handset: asks the sandbox's suppliers what they were given, and picks what is this payer's.

import { challengeOf, isFor } from "./payer.js";

const EVERY_MS = 700;

// Events: `message`, with the message in `detail`; `is_new` is false for what was there before this page.
export class Mailbox extends EventTarget {
  #api;
  #payer;
  #last = null;
  #waiting = [];
  messages = [];

  constructor(api, payer) {
    super();
    this.#api = api;
    this.#payer = payer;
  }

  async open() {
    await this.#look(false);
    setInterval(() => this.look(), EVERY_MS);
  }

  // What a store that is away does not tell now, it tells at the next look.
  async look() {
    try {
      await this.#look(true);
    } catch {
      return;
    }
  }

  // A push is addressed to a device, not to a number: it is known by its challenge, which may be known a moment later.
  knows() {
    const found = this.#waiting.filter((message) => isFor(this.#payer, message));
    this.#waiting = this.#waiting.filter((message) => !found.includes(message));
    for (const message of found) this.#take(message, true);
  }

  codeFor(challenge) {
    const about = this.messages.filter((message) => challengeOf(message) === challenge);
    const last = about.at(-1);
    return last ? codeIn(last.text) : null;
  }

  async #look(isNew) {
    const after = this.#last ? `?after=${encodeURIComponent(this.#last)}` : "";
    const { data: messages } = await this.#api.sandbox(`/sandbox/messages${after}`);
    for (const message of messages) {
      if (this.#last && numberOf(message.id) <= numberOf(this.#last)) continue;
      this.#last = message.id;
      if (isFor(this.#payer, message)) this.#take(message, isNew);
      else if (isNew && message.channel === "push") this.#waiting = [...this.#waiting.slice(-20), message];
    }
  }

  #take(message, isNew) {
    this.messages.push(message);
    this.dispatchEvent(new CustomEvent("message", { detail: { ...message, is_new: isNew } }));
  }
}

function numberOf(id) {
  return Number(id.slice("msg_".length));
}

// The code in a message, also when it is said digit by digit.
export function codeIn(text) {
  const plain = text.match(/(?<!\d)\d{6}(?!\d)/g);
  if (plain) return plain.at(-1);
  const spelled = text.match(/(?:\d, ){5}\d/g);
  return spelled ? spelled.at(-1).replaceAll(", ", "") : null;
}
