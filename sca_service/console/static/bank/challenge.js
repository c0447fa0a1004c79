// One challenge of the bank: issued, followed until it is final, answered. Asks no more than the bank's backend would.

import { noteChallenge } from "./payer.js";
import { aCentMore, FINAL } from "./words.js";

const EVERY_MS = 700;
const INSTRUMENT = { name: "Current account ··34", icon: new URL("./card.png", import.meta.url).href };

export function bodyOf(order, payer) {
  const isConfirmation = order.method === "payment_confirmation";
  const body = {
    psu: { id: payer.id, phone: payer.phone, locale: payer.locale },
    purpose: order.purpose,
    method: isConfirmation ? "passkey" : order.method,
    elements_presented: ["knowledge"],
  };
  if (order.transaction) body.transaction = order.transaction;
  if (order.method === "one_time_code") body.channels = order.ladder.map((channel) => ({ channel }));
  if (isConfirmation) body.instrument = INSTRUMENT;
  return body;
}

// Events: `change`, whenever the body is another; `final` once.
export class Challenge extends EventTarget {
  #api;
  #timer = null;
  #order;
  body;
  code = null; // the last one that was accepted
  #authenticationCode = null;

  constructor(api, order) {
    super();
    this.#api = api;
    this.#order = order;
  }

  get order() {
    return this.#order;
  }

  // The signed proof of an approval: told by the verify that made it, or for some minutes by the challenge itself.
  get authenticationCode() {
    return this.#authenticationCode ?? this.body.authentication_code ?? null;
  }

  get isFinal() {
    return FINAL.has(this.body.status);
  }

  async issue(payer) {
    for (const channel of this.#order.method === "one_time_code" ? this.#order.lost : []) {
      await this.#api.sandbox(`/sandbox/suppliers/${channel}`, { behaviour: "undelivered", next: 1 });
    }
    this.body = await this.#api.bank("POST", "/v1/challenges", bodyOf(this.#order, payer));
    noteChallenge(payer, this.body.id);
    if (!this.isFinal) this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  async #look() {
    try {
      this.#take(await this.#api.bank("GET", `/v1/challenges/${this.body.id}`));
    } catch {
      return; // a store that is away is asked again
    }
  }

  #take(body) {
    if (this.#timer === null) return;
    const wasAnother = JSON.stringify(body) !== JSON.stringify(this.body);
    this.body = body;
    if (wasAnother) this.dispatchEvent(new Event("change"));
    if (this.isFinal) this.#end();
  }

  #end() {
    if (this.#timer === null) return;
    this.stop();
    this.dispatchEvent(new Event("final"));
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  // Sends what the payer gave with the transaction that is about to be executed; `isChanged` executes a cent more.
  async verify(answer, { isChanged = false } = {}) {
    const transaction = this.#order.transaction && structuredClone(this.#order.transaction);
    if (isChanged) transaction.amount.amount = aCentMore(transaction.amount.amount);
    const body = transaction ? { ...answer, transaction } : answer;
    const verified = await this.#api.bank("POST", `/v1/challenges/${this.body.id}/verify`, body);
    if (verified.outcome === "approved") {
      this.code = answer.code ?? null;
      this.#authenticationCode = verified.authentication_code;
    }
    this.#take(verified.challenge);
    return verified;
  }

  async next() {
    this.#take(await this.#api.bank("POST", `/v1/challenges/${this.body.id}/next`, { reason: "user_request" }));
  }

  async cancel() {
    this.#take(await this.#api.bank("POST", `/v1/challenges/${this.body.id}/cancel`));
  }
}
