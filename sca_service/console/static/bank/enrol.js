// Enrols an authenticator as the bank does: the first on its word, later ones with the payer's approval (RTS Art. 24).

import { forget, kept } from "./keep.js";
import { noteChallenge } from "./payer.js";

const MOST_TRIES = 5;

function placeOf(payer) {
  return `/v1/psus/${encodeURIComponent(payer.id)}/authenticators`;
}

// Whether the payer has an active authenticator, of this type or of any.
export async function hasActive(api, payer, type) {
  const { data: found } = await api.bank("GET", placeOf(payer));
  return found.some((one) => one.state === "active" && (type === undefined || one.type === type));
}

// Drops what the handset keeps of authenticators that the service does not know, or not any more.
export async function forgetRevoked(api, payer, names) {
  const { data: found } = await api.bank("GET", placeOf(payer));
  const active = found.filter((one) => one.state === "active").map((one) => one.id);
  for (const name of names) {
    const content = await kept(payer, name);
    if (content && !active.includes(content.id)) await forget(payer, name);
  }
}

// `askCode(challenge, isAgain)` has the payer type the code of an approval; it may refuse by throwing.
export async function enrol(api, payer, wish, askCode) {
  const isLater = await hasActive(api, payer);
  const authorisation = isLater ? { authorisation: await approval(api, payer, askCode) } : {};
  return await api.bank("POST", placeOf(payer), { ...wish, ...authorisation });
}

export function activate(api, payer, id, proof) {
  return api.bank("POST", `${placeOf(payer)}/${id}/activate`, proof);
}

async function approval(api, payer, askCode) {
  const challenge = await api.bank("POST", "/v1/challenges", {
    psu: { id: payer.id, phone: payer.phone, locale: payer.locale },
    purpose: "enrolment",
    channels: [{ channel: "sms" }],
    elements_presented: ["knowledge"],
  });
  noteChallenge(payer, challenge.id);
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const code = await askCode(challenge, tries > 0);
    const answer = await api.bank("POST", `/v1/challenges/${challenge.id}/verify`, { code });
    if (answer.outcome === "approved") return answer.authentication_code;
    if (answer.outcome !== "incorrect") throw new Error(`The approval ended: ${answer.outcome}.`);
  }
  throw new Error("The approval ended: too many wrong codes.");
}
