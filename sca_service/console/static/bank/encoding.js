// Bytes as text and back: base64url (RFC 7515), base32 (RFC 4648), and SHA-256 of bytes.

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export function utf8(text) {
  return new TextEncoder().encode(text);
}

export function base64url(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function fromBase64url(text) {
  const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
}

export function fromBase32(text) {
  const bytes = [];
  let bits = 0;
  let held = 0;
  for (const letter of text.toUpperCase().replace(/=+$/, "")) {
    const value = BASE32.indexOf(letter);
    if (value < 0) throw new Error("not base32");
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((held >> bits) & 255);
    }
  }
  return Uint8Array.from(bytes);
}

export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

// The claims of a compact JWS, unverified: for showing them.
export function claimsOf(jws) {
  return JSON.parse(new TextDecoder().decode(fromBase64url(jws.split(".")[1])));
}
