// The handset's messages: what came by SMS, as bubbles, the newest last.

import { button, make } from "./dom.js";
import { codeIn } from "./mailbox.js";

export class MessagesApp {
  name = "messages";
  title = "Messages";
  sign = "message";
  #mailbox;
  #thread = null;

  constructor(mailbox) {
    this.#mailbox = mailbox;
    mailbox.addEventListener("message", (event) => {
      if (event.detail.channel !== "sms" || !this.#thread?.isConnected) return;
      this.#thread.querySelector(".none")?.remove();
      this.#thread.append(bubble(event.detail));
      this.#toEnd();
    });
  }

  screen() {
    const texts = this.#mailbox.messages.filter((message) => message.channel === "sms");
    this.#thread = make(
      "ol",
      { class: "thread", role: "log", "aria-label": "Messages", tabindex: "0" },
      ...texts.map(bubble),
    );
    if (!texts.length)
      this.#thread.append(make("li", { class: "none" }, "No messages yet. A code comes when the bank asks for one."));
    setTimeout(() => this.#toEnd());
    return this.#thread;
  }

  #toEnd() {
    this.#thread.scrollTop = this.#thread.scrollHeight;
  }
}

function bubble(message) {
  const code = codeIn(message.text);
  const copy =
    code &&
    button("Copy code", async () => {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
    });
  return make(
    "li",
    {},
    make("small", {}, `${message.sender ?? "Bank"} · ${timeOf(message.at)}`),
    make("p", { class: "bubble" }, ...marked(message.text, code)),
    copy || "",
  );
}

export function timeOf(at) {
  return new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

// The text with its code underlined, as a handset does.
export function marked(text, code) {
  if (!code || !text.includes(code)) return [text];
  const [before, ...after] = text.split(code);
  return [before, make("b", {}, code), after.join(code)];
}
