// The handset's telephone: a call rings, and when it is taken its text is spoken and written.

import { button, byId, icon, make, say } from "./dom.js";
import { codeIn } from "./mailbox.js";
import { timeOf } from "./messages_app.js";

export class PhoneApp {
  name = "calls";
  title = "Phone";
  sign = "call";
  #mailbox;
  #payer;
  #place = byId("ringing");
  #before = null;

  constructor(mailbox, payer) {
    this.#mailbox = mailbox;
    this.#payer = payer;
  }

  screen() {
    const calls = this.#mailbox.messages.filter((message) => message.channel === "voice").toReversed();
    if (!calls.length) return make("p", { class: "none" }, "No calls yet.");
    return make(
      "ol",
      { class: "calls-had" },
      ...calls.map((call) =>
        make(
          "li",
          {},
          icon("call"),
          make("div", {}, make("b", {}, call.sender ?? "Your bank"), make("small", {}, timeOf(call.at))),
          button("Listen again", () => this.#take(call)),
        ),
      ),
    );
  }

  ring(call) {
    say("A call on the handset");
    const accept = button("Accept", () => this.#take(call), { class: "accept" });
    accept.prepend(icon("call"));
    this.#show(
      "ringing rings",
      make("p", { class: "caller" }, make("b", {}, call.sender ?? "Your bank"), make("span", {}, "is calling …")),
      make(
        "div",
        { class: "answers" },
        button("Decline", () => this.#hangUp(), { class: "decline" }),
        accept,
      ),
    );
  }

  #take(call) {
    this.#before = document.activeElement;
    const code = codeIn(call.text);
    this.#show(
      "ringing taken",
      make("p", { class: "caller" }, make("b", {}, call.sender ?? "Your bank"), make("span", {}, "on the line")),
      make("p", { class: "spoken", tabindex: "0", "aria-live": "polite" }, call.text),
      code
        ? make(
            "p",
            { class: "spelled", "aria-label": `Code ${[...code].join(" ")}` },
            ...[...code].map((digit) => make("span", {}, digit)),
          )
        : "",
      make(
        "div",
        { class: "answers" },
        button("Hang up", () => this.#hangUp(), { class: "decline" }),
      ),
    );
    this.#place.querySelector(".decline").focus({ preventScroll: true });
    this.#speak(call.text);
  }

  #speak(text) {
    if (!("speechSynthesis" in window)) return;
    const spoken = new SpeechSynthesisUtterance(text);
    spoken.lang = this.#payer.locale;
    spoken.rate = 0.9;
    speechSynthesis.cancel();
    speechSynthesis.speak(spoken);
  }

  #hangUp() {
    if ("speechSynthesis" in window) speechSynthesis.cancel();
    this.#place.hidden = true;
    this.#place.replaceChildren();
    const isThere = this.#before?.isConnected;
    (isThere ? this.#before : byId("home")).focus({ preventScroll: true });
  }

  #show(kind, ...children) {
    this.#place.className = kind;
    this.#place.replaceChildren(...children);
    this.#place.hidden = false;
  }
}
