// The handset: its home screen, the app that is open, and what comes over it: notifications and calls.

import { byId, button, icon, make, say } from "./dom.js";

const BANNER_MS = 7000;
const MOST_BANNERS = 3;

export class Handset {
  #apps;
  #payer;
  #screen = byId("screen");
  #banners = byId("banners");
  #open = null;
  #unseen = new Map();
  #phone;

  constructor({ payer, mailbox, apps, phone }) {
    this.#payer = payer;
    this.#apps = apps;
    this.#phone = phone;
    byId("home").onclick = () => this.home();
    mailbox.addEventListener("message", (event) => {
      if (event.detail.is_new) this.#arrived(event.detail);
    });
  }

  home() {
    this.#open = null;
    const apps = this.#apps.map((app) => {
      const unseen = this.#unseen.get(app.name) ?? 0;
      const label = unseen ? `${app.title}, ${unseen} new` : app.title;
      return make(
        "li",
        {},
        make(
          "button",
          {
            type: "button",
            class: "app",
            "data-app": app.name,
            "aria-label": label,
            on: { click: () => this.open(app.name) },
          },
          make(
            "span",
            { class: "tile" },
            icon(app.sign),
            unseen ? make("i", { class: "badge" }, String(unseen)) : "",
          ),
          make("span", { class: "name" }, app.title),
        ),
      );
    });
    this.#screen.className = "screen at-home";
    this.#screen.replaceChildren(
      make(
        "p",
        { class: "greeting" },
        make("b", {}, new Date().toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long" })),
        make("span", {}, `${this.#payer.name}’s handset`),
      ),
      make("ul", { class: "apps", "aria-label": "Apps" }, ...apps),
    );
  }

  // Asked for from elsewhere on the page: on a narrow screen a dot says where.
  point(name) {
    this.open(name);
    byId("handset").dispatchEvent(new CustomEvent("arrived", { bubbles: true }));
  }

  open(name) {
    const app = this.#apps.find((one) => one.name === name);
    this.#open = app;
    this.#unseen.delete(name);
    for (const banner of this.#banners.querySelectorAll(`[data-app=${name}]`)) banner.remove();
    const title = make("h3", { tabindex: "-1" }, app.title);
    const back = button("", () => this.home(), { class: "back", "aria-label": "Back to the home screen" });
    back.append(icon("back"));
    this.#screen.className = `screen in-app in-${name}`;
    this.#screen.replaceChildren(make("header", {}, back, title), make("div", { class: "app-body" }, app.screen()));
    title.focus({ preventScroll: true });
  }

  #arrived(message) {
    byId("handset").dispatchEvent(new CustomEvent("arrived", { bubbles: true }));
    if (message.channel === "voice") {
      this.#note("calls");
      this.#phone.ring(message);
      return;
    }
    const isText = message.channel === "sms";
    const name = isText ? "messages" : "bank";
    if (isText && this.#open?.name === name) return;
    this.#note(name);
    this.#banner(name, isText ? (message.sender ?? "Bank") : "Example Bank", message.text);
  }

  #note(name) {
    this.#unseen.set(name, (this.#unseen.get(name) ?? 0) + 1);
    if (!this.#open) this.home();
  }

  #banner(name, title, text) {
    const app = this.#apps.find((one) => one.name === name);
    const banner = make(
      "button",
      { type: "button", class: "banner", "data-app": name, on: { click: () => this.open(name) } },
      make("span", { class: "tile" }, icon(app.sign)),
      make("span", {}, make("b", {}, title), make("span", { class: "text" }, text)),
    );
    this.#banners.append(banner);
    while (this.#banners.children.length > MOST_BANNERS) this.#banners.firstElementChild.remove();
    say(`${title}: a message on the handset`);
    const fade = () => (banner.matches(":hover, :focus") ? setTimeout(fade, BANNER_MS) : banner.remove());
    setTimeout(fade, BANNER_MS);
  }
}
