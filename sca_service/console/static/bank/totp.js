// A generator of time-based codes (RFC 6238) whose seed no script can read out again.

import { fromBase32 } from "./encoding.js";

// Reads an `otpauth://` URI. The seed becomes a key that is kept, and cannot be exported.
export async function generatorFrom(uri) {
  const parameters = new URL(uri).searchParams;
  const hash = { SHA1: "SHA-1", SHA256: "SHA-256", SHA512: "SHA-512" }[parameters.get("algorithm") ?? "SHA1"];
  const seed = fromBase32(parameters.get("secret"));
  const key = await crypto.subtle.importKey("raw", seed, { name: "HMAC", hash }, false, ["sign"]);
  return {
    key,
    digits: Number(parameters.get("digits") ?? 6),
    period: Number(parameters.get("period") ?? 30),
    issuer: parameters.get("issuer") ?? "",
  };
}

export function stepAt(generator, atMs) {
  return Math.floor(atMs / 1000 / generator.period);
}

export function secondsLeft(generator, atMs) {
  return generator.period - (Math.floor(atMs / 1000) % generator.period);
}

export async function codeAt(generator, step) {
  const counter = new DataView(new ArrayBuffer(8));
  counter.setBigUint64(0, BigInt(step));
  const mac = new DataView(await crypto.subtle.sign("HMAC", generator.key, counter.buffer));
  const offset = mac.getUint8(mac.byteLength - 1) & 15;
  const number = (mac.getUint32(offset) & 0x7fffffff) % 10 ** generator.digits;
  return String(number).padStart(generator.digits, "0");
}
