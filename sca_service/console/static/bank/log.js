// The strip of the log: the events about this payer, the newest first, each with its place and its proof.
//
// What is read from the log goes on record too, so it is read when something happened, and until all of it is proven.

import { titleOf, toneOf } from "/desk/static/told.js";
import { byId, icon, make } from "./dom.js";
import { leafDialog } from "./leaf_dialog.js";

const AGAIN_MS = 1200;
const MOST_READINGS = 12;
const PAGE = 200;

export class LogStrip {
  #api;
  #payer;
  #list = byId("events");
  #events = new Map();
  #proofs = new Map();
  #shown = new Set();
  #left = 0;
  #timer = null;
  #isReading = false;

  constructor(api, payer) {
    this.#api = api;
    this.#payer = payer;
  }

  // Something happened: look now, and a few times more until every event has its proof.
  look() {
    this.#left = MOST_READINGS;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), 250);
  }

  follow(challenge) {
    byId("story").href = `/desk/challenges/${challenge}`;
  }

  async #read() {
    if (this.#isReading || this.#left <= 0) return;
    this.#isReading = true;
    this.#left -= 1;
    let isWhole = false;
    try {
      await this.#readEvents();
      isWhole = await this.#readProofs();
      this.#show();
    } catch {
      isWhole = false; // asked again below
    }
    this.#isReading = false;
    if (!isWhole && this.#left > 0) this.#timer = setTimeout(() => this.#read(), AGAIN_MS);
  }

  async #readEvents() {
    let cursor = "";
    do {
      const place = `/v1/audit/events?psu=${encodeURIComponent(this.#payer.id)}&limit=${PAGE}${cursor}`;
      const page = await this.#api.auditor(place);
      for (const event of page.data) this.#events.set(event.id, event);
      cursor = page.next_cursor ? `&cursor=${encodeURIComponent(page.next_cursor)}` : "";
    } while (cursor);
  }

  // An event gets its index within a second, and has its proof once a checkpoint covers it.
  async #readProofs() {
    const size = Number((await this.#api.auditor("/log/checkpoint")).split("\n")[1]);
    for (const event of this.#events.values()) {
      if (event.index === null || event.index >= size || this.#proofs.has(event.id)) continue;
      this.#proofs.set(event.id, await this.#api.auditor(`/v1/audit/events/${event.index}/proof`));
    }
    return this.#proofs.size === this.#events.size;
  }

  #show() {
    const events = [...this.#events.values()].sort(
      (one, other) => (other.index ?? Infinity) - (one.index ?? Infinity) || other.at_ms - one.at_ms,
    );
    const said = `${this.#proofs.size} of ${events.length} events proven`;
    byId("log-state").textContent = events.length ? said : "Nothing about this payer yet.";
    const focused = document.activeElement?.dataset?.event;
    this.#list.replaceChildren(...events.map((event) => this.#item(event)));
    if (focused) this.#list.querySelector(`[data-event="${focused}"]`)?.focus({ preventScroll: true });
  }

  #item(event) {
    const proof = this.#proofs.get(event.id);
    const size = proof && sizeIn(proof);
    const open = make(
      "button",
      {
        type: "button",
        "data-event": event.id,
        on: { click: () => leafDialog(event, titleOf(event), this.#proofs.get(event.id)) },
      },
      make("b", {}, event.index === null ? "" : `${event.index} `, titleOf(event)),
      make(
        "small",
        { class: "mark" },
        ...(size ? [icon("check"), `proven in checkpoint of size ${size}`] : ["waits for a checkpoint"]),
      ),
    );
    const isNew = !this.#shown.has(event.id);
    this.#shown.add(event.id);
    return make(
      "li",
      { class: `${toneOf(event)} ${size ? "proven" : "waiting"} ${isNew ? "new" : ""}`, "data-type": event.type },
      open,
    );
  }
}

// The size stands on the second line of the checkpoint that a proof ends with (C2SP tlog-proof).
export function sizeIn(proof) {
  return proof.split("\n\n")[1]?.split("\n")[1] ?? "";
}
