// The calls that the bank's backend made, each to be opened as JSON and as a command for a terminal.

import { button, byId, make } from "./dom.js";

const MOST = 40;

export class CallsView {
  #list = byId("calls-list");
  #count = 0;
  #lastPoll = null;

  constructor(api) {
    api.addEventListener("call", (event) => this.#add(event.detail));
  }

  // Looking at a challenge again and again is one line, with the newest answer.
  #add(call) {
    this.#count += 1;
    byId("calls-count").textContent = this.#count;
    const isSamePoll = call.method === "GET" && this.#lastPoll?.path === call.path;
    const times = isSamePoll ? this.#lastPoll.times + 1 : 1;
    const item = callView(call, times);
    if (isSamePoll) {
      item.querySelector("details").open = this.#lastPoll.item.querySelector("details").open;
      if (!this.#lastPoll.item.contains(document.activeElement)) this.#lastPoll.item.replaceWith(item);
      else return;
    } else {
      this.#list.prepend(item);
    }
    this.#lastPoll = call.method === "GET" ? { path: call.path, times, item } : null;
    while (this.#list.children.length > MOST) this.#list.lastElementChild.remove();
  }
}

function callView(call, times) {
  const isGood = call.status < 400;
  return make(
    "li",
    {},
    make(
      "details",
      {},
      make(
        "summary",
        {},
        make("b", { class: "method-name" }, call.method),
        make("code", {}, call.path),
        make("span", { class: `status ${isGood ? "good" : "bad"}` }, String(call.status)),
        make("small", {}, times > 1 ? `${times} times` : `${Math.round(call.took)} ms`),
      ),
      ...(call.body === undefined ? [] : [block("Request", JSON.stringify(call.body, null, 2))]),
      block("Answer", JSON.stringify(call.answer, null, 2)),
      block("curl", curlOf(call)),
    ),
  );
}

function block(name, text) {
  const copy = button(
    "Copy",
    async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    },
    { class: "plain", "aria-label": `Copy ${name}` },
  );
  return make("figure", {}, make("figcaption", {}, name, copy), make("pre", { tabindex: "0" }, text));
}

// The key is left to the reader's shell: a screen is shown to others.
function curlOf({ method, path, body }) {
  const lines = [`curl -X ${method} ${location.origin}${path}`, `-H "Authorization: Bearer $BANK_KEY"`];
  if (body !== undefined) {
    lines.push(`-H "Content-Type: application/json"`, `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  }
  return lines.join(" \\\n  ");
}
