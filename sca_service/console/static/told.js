// Tells a leaf in words, as the desk's pages tell it, so that `verify.js` can compare what is shown with what is proven.
//
// The words are those of `story.py` and `story_page.py`: a test holds the two against each other.

const WORDS = {
  "titles": {
    "challenge.issued": "Challenge issued",
    "challenge.refused": "Challenge refused",
    "challenge.answered": "Answered: {outcome}",
    "challenge.cancelled": "Challenge cancelled",
    "challenge.stepped": "Next channel: {channel}",
    "challenge.expired": "Challenge expired",
    "challenge.undeliverable": "No channel reached the payer",
    "challenge.declined": "The payer declined",
    "delivery.attempted": "Message handed over for {channel}",
    "delivery.settled": "Message by {channel}: {status}",
    "delivery.retried": "Message by {channel} tried again",
    "delivery.postponed": "Message by {channel} postponed",
    "payer.blocked": "Payer blocked",
    "payer.unblocked": "Payer unblocked",
    "payer.erased": "Payer erased"
  },
  "spelled": {
    "sms": "SMS",
    "rcs": "RCS",
    "whatsapp": "WhatsApp",
    "email": "e-mail",
    "transaction_mismatch": "another transaction"
  },
  "labels": {
    "sca": "Strong authentication",
    "try": "Attempt",
    "until_ms": "Until",
    "policy": "Policy digest",
    "request": "Request id",
    "transaction": "Commitment to the transaction",
    "session": "Session pseudonym"
  },
  "personal": {
    "psu_id": "Client’s reference of the payer",
    "phone": "Phone number",
    "phone_masked": "Phone number, masked",
    "message_shown": "Text shown",
    "device_answer": "What the device signed",
    "device_key": "The device’s public key",
    "passkey_answer": "What the passkey signed",
    "passkey_key": "The passkey’s public key",
    "passkey_nonce": "Random part of what it signed",
    "transaction": "Transaction",
    "reference": "Client’s reference",
    "ip": "IP address",
    "device_id": "Device",
    "user_agent": "Browser or app",
    "session_id": "Session"
  },
  "endings": [
    "challenge.cancelled", "challenge.declined", "challenge.expired", "challenge.refused", "challenge.undeliverable",
    "payer.blocked"
  ],
  "good": ["answered", "approved", "delivered"],
  "bad": [
    "already_used", "blocked", "cancelled", "challenge.cancelled", "challenge.declined", "challenge.expired",
    "challenge.refused", "challenge.undeliverable", "declined", "expired", "failed", "incorrect", "no_answer",
    "payer.blocked", "refused", "transaction_mismatch", "undeliverable", "undelivered"
  ],
  "elsewhere": ["at_ms", "challenge", "client", "commitments", "id", "psu", "type"],
  "above": ["Actor", "Channel", "Channels", "Elements", "Outcome", "Purpose", "Status", "Strong authentication"]
};

function own(table, name) {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function textOf(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export function inWords(value) {
  const text = textOf(value);
  return own(WORDS.spelled, text) ?? (/^[a-z]+(_[a-z]+)*$/.test(text) ? text.replaceAll("_", " ") : text);
}

export function capitalised(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase();
}

// The date and the clock of a time in UTC, to the millisecond.
export function momentOf(atMs) {
  const full = new Date(atMs).toISOString();
  const [date, clock] = full.slice(0, -1).split("T");
  return { full, date, clock };
}

export function titleOf(leaf) {
  const told = own(WORDS.titles, leaf.type);
  if (told === undefined) return capitalised(leaf.type.replaceAll(".", ": ").replaceAll("_", " "));
  return told.replace(/\{(\w+)\}/g, (_, name) => (Object.hasOwn(leaf, name) ? inWords(leaf[name]) : "…"));
}

export function toneOf(leaf) {
  const word = textOf(leaf.outcome || leaf.status || leaf.type);
  if (WORDS.good.includes(word)) return "good";
  return WORDS.bad.includes(word) ? "bad" : "plain";
}

export function personalLabel(name) {
  return own(WORDS.personal, name) ?? name;
}

function said(name, value) {
  if (name.endsWith("_ms") && Number.isInteger(value)) {
    const { date, clock } = momentOf(value);
    return `${date} ${clock}`;
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.every((one) => one === null || typeof one !== "object")) {
    return value.map(inWords).join(", ");
  }
  return typeof value === "object" ? JSON.stringify(value) : inWords(value);
}

function allFacts(leaf) {
  return Object.entries(leaf)
    .filter(([name, value]) => !WORDS.elsewhere.includes(name) && value !== null && value !== "")
    .filter(([, value]) => !(Array.isArray(value) && !value.length))
    .map(([name, value]) => [
      own(WORDS.labels, name) ?? capitalised(name.replace(/_ms$/, "").replaceAll("_", " ")),
      said(name, value),
    ]);
}

// What an event says beside its title, and what the first event did not say for all of them: label and value each.
export function factsOf(leaf, first) {
  const shared = leaf === first ? [] : allFacts(first);
  return allFacts(leaf).filter(
    ([label, value]) =>
      !WORDS.above.includes(label) && !shared.some(([other, same]) => other === label && same === value),
  );
}

// What the page says of all events together, by the first of them.
export function partiesOf(first) {
  const listed = (value) => (Array.isArray(value) ? value.map(inWords).join(", ") : value && inWords(value)) || "–";
  const { date, clock } = momentOf(first.at_ms);
  return [
    ["Client", first.client || "–"],
    ["Payer", first.psu || "–"],
    ["Began", `${date} ${clock}`],
    ["Elements", listed(first.elements)],
    ["Strong authentication", first.sca ? "yes" : "no"],
    ["Channels", listed(first.channels)],
  ];
}

function ends(leaf) {
  if (leaf.type === "challenge.answered") return ["approved", "transaction_mismatch"].includes(leaf.outcome);
  return WORDS.endings.includes(leaf.type);
}

function paymentIn(transaction) {
  try {
    const found = JSON.parse(transaction ?? "null");
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

// The headline, from proven leaves and the opened transaction of the first; `ended` is null when none of them ends it.
export function headlineOf(leaves, transaction) {
  const [first] = leaves;
  const payment = paymentIn(transaction);
  const subject = payment
    ? `${payment.amount?.currency ?? ""} ${payment.amount?.amount ?? ""} to ${payment.payee?.name ?? ""}`
    : capitalised(inWords(first.purpose ?? "Challenge"));
  const eyebrow = capitalised(payment ? inWords(first.purpose ?? "challenge") : "challenge");
  const ending = leaves.find(ends);
  if (!ending) return { eyebrow, subject: subject.trim(), ended: null, tone: "plain" };
  const outcome = ending.outcome && (ending.outcome === "approved" ? "approved" : "rejected");
  const ended = outcome || inWords(ending.type.split(".").at(-1));
  return { eyebrow, subject: subject.trim(), ended, tone: toneOf(ending) };
}
