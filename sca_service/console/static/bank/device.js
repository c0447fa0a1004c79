// The handset as a device with a key of its own: what it signs, and how it speaks to `/device/v1`.
//
// The key is made by WebCrypto, cannot be exported, and is kept in IndexedDB. Each request carries a proof signed by it
// (RFC 9449 section 4.2, and `bth`, the hash of the body); each answer to a challenge is a JWS naming what was shown.
// What is signed is the address that the bank told, what is called is this page's own: they are the same service.

import { Problem } from "./call.js";
import { base64url, sha256, utf8 } from "./encoding.js";
import { keep, kept } from "./keep.js";

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };
export const DEVICE = "device";

// A device that is enrolled; null where this handset has none for the payer.
export async function deviceOf(payer) {
  const found = await kept(payer, DEVICE);
  return found ? new Device(found) : null;
}

// Makes a key and proves to the service, with the code that the bank gave, that this handset holds it.
export async function activateDevice(payer, enrolled) {
  const keys = await crypto.subtle.generateKey(CURVE, false, ["sign"]);
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", keys.publicKey);
  const content = { id: enrolled.authenticator.id, url: enrolled.device_url, key: keys.privateKey };
  const device = new Device(content);
  const answer = await device.call("POST", "/activate", {
    jwk: { kty, crv, x, y },
    body: { authenticator: content.id, activation_code: enrolled.activation_code },
  });
  if (answer.outcome !== "activated") throw new Error(`The device was not activated: ${answer.outcome}.`);
  await keep(payer, DEVICE, content);
  return device;
}

export class Device {
  #content;

  constructor(content) {
    this.#content = content;
  }

  get id() {
    return this.#content.id;
  }

  async challenges() {
    const { data: found } = await this.call("GET", "/challenges");
    return found;
  }

  // Signs the payer's answer; `said` holds the decision with its digits or its reason.
  async answer(challenge, said) {
    const claims = { challenge: challenge.id, ...said, iat: seconds() };
    if (challenge.transaction) claims.transaction = challenge.transaction.digest;
    const answer = await this.#signed({ typ: "sca-approval+jwt" }, claims);
    return await this.call("POST", `/challenges/${challenge.id}/answer`, { body: { answer } });
  }

  async call(method, path, { body, jwk } = {}) {
    const url = this.#content.url + path;
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = { DPoP: await this.#proof(method, url, text, jwk) };
    if (text) headers["Content-Type"] = "application/json";
    const response = await fetch(new URL(url).pathname, { method, headers, body: text || undefined });
    const answer = await response.json();
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }

  async #proof(method, url, text, jwk) {
    const claims = {
      htm: method,
      htu: url,
      iat: seconds(),
      jti: base64url(crypto.getRandomValues(new Uint8Array(16))),
    };
    if (text) claims.bth = base64url(await sha256(utf8(text)));
    return await this.#signed({ typ: "dpop+jwt", ...(jwk ? { jwk } : { kid: this.#content.id }) }, claims);
  }

  async #signed(header, claims) {
    const parts = [{ alg: "ES256", ...header }, claims].map((part) => base64url(utf8(JSON.stringify(part))));
    const signed = parts.join(".");
    const signature = await crypto.subtle.sign(SIGNING, this.#content.key, utf8(signed));
    return `${signed}.${base64url(signature)}`;
  }
}

function seconds() {
  return Math.floor(Date.now() / 1000);
}
