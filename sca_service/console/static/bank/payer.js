// The payer whose handset this is: made up at the first visit and kept in this browser.

const PLACE = "sca-payer";
const NAMES = ["Anna Berg", "Jonas Keller", "Mira Novak", "Luca Conti", "Sofia Marin", "Noah Visser", "Ines Duarte"];
const CHALLENGES_KEPT = 60;

function below(limit) {
  return crypto.getRandomValues(new Uint32Array(1))[0] % limit;
}

function made() {
  const hex = [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0"));
  return {
    id: `payer_${hex.join("")}`,
    name: NAMES[below(NAMES.length)],
    phone: `+49151${10_000_000 + below(10_000_000)}`,
    locale: "en-GB",
    challenges: [],
  };
}

export function keepPayer(payer) {
  localStorage.setItem(PLACE, JSON.stringify(payer));
}

export function newPayer() {
  const payer = made();
  keepPayer(payer);
  return payer;
}

export function currentPayer() {
  try {
    const payer = JSON.parse(localStorage.getItem(PLACE));
    if (payer?.id && payer.phone && Array.isArray(payer.challenges)) return payer;
  } catch {
    // what cannot be read is replaced
  }
  return newPayer();
}

// The challenges of a payer tell which push messages are theirs: those are not addressed by a phone number.
export function noteChallenge(payer, id) {
  payer.challenges = [...payer.challenges, id].slice(-CHALLENGES_KEPT);
  keepPayer(payer);
}

export function isFor(payer, message) {
  if (message.to === payer.phone) return true;
  const challenge = message.delivery.replace(/^dlv_/, "chl_").slice(0, -2);
  return payer.challenges.includes(challenge);
}

export function challengeOf(message) {
  return message.delivery.replace(/^dlv_/, "chl_").slice(0, -2);
}
