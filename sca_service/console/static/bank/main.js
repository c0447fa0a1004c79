// Puts the page together: a payer, the API with the bank's key, the checkout, the handset and the log.

import { AuthenticatorApp, GENERATOR } from "./authenticator_app.js";
import { BankApp } from "./bank_app.js";
import { Api, readKeys } from "./call.js";
import { CallsView } from "./calls_view.js";
import { Checkout } from "./checkout.js";
import { DEVICE } from "./device.js";
import { byId } from "./dom.js";
import { forgetRevoked } from "./enrol.js";
import { Handset } from "./handset.js";
import { clear } from "./keep.js";
import { LogStrip } from "./log.js";
import { Mailbox } from "./mailbox.js";
import { MessagesApp, timeOf } from "./messages_app.js";
import { PASSKEY, PasskeyApp } from "./passkey_app.js";
import { currentPayer, keepPayer, newPayer } from "./payer.js";
import { PhoneApp } from "./phone_app.js";
import { showPlaces } from "./places.js";

function showPayer(payer) {
  byId("payer-name").textContent = payer.name;
  byId("payer-phone").textContent = payer.phone.replace(/^(\+49)(\d{3})(\d{4})(\d+)$/, "$1 $2 $3 $4");
  const locale = byId("locale");
  locale.value = payer.locale;
  locale.addEventListener("change", () => {
    payer.locale = locale.value;
    keepPayer(payer);
  });
  byId("new-payer").addEventListener("click", async () => {
    await clear();
    newPayer();
    location.reload();
  });
}

function showClock() {
  byId("clock").textContent = timeOf(Date.now());
}

async function open() {
  showPlaces();
  showClock();
  setInterval(showClock, 5000);
  const payer = currentPayer();
  showPayer(payer);
  const api = new Api(await readKeys());
  byId("copy-key").addEventListener("click", async () => {
    await navigator.clipboard.writeText(api.auditorKey);
    byId("copy-key").textContent = "Copied";
  });
  new CallsView(api);
  const mailbox = new Mailbox(api, payer);
  const phone = new PhoneApp(mailbox, payer);
  const apps = [
    new MessagesApp(mailbox),
    phone,
    new BankApp(api, payer, mailbox),
    new AuthenticatorApp(api, payer, mailbox),
    new PasskeyApp(api, payer, mailbox),
  ];
  await forgetRevoked(api, payer, [DEVICE, GENERATOR, PASSKEY]);
  for (const app of apps) await app.open?.();
  const log = new LogStrip(api, payer);
  const handset = new Handset({ payer, mailbox, apps, phone });
  handset.home();
  await new Checkout({ api, payer, mailbox, handset, log }).open();
  await mailbox.open();
  api.addEventListener("call", (event) => {
    if (event.detail.method !== "GET") log.look();
  });
  log.look();
  document.body.dataset.ready = "";
}

open().catch((fault) => {
  byId("order-fault").textContent = `The page could not start: ${fault.message}`;
  byId("order-fault").hidden = false;
});
