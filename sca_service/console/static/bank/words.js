// What the checkout says about where a challenge stands, and how money and time are written.

export const CHANNELS = {
  push: { name: "Push", sign: "bell" },
  sms: { name: "SMS", sign: "message" },
  voice: { name: "Call", sign: "call" },
  email: { name: "E-mail", sign: "message" },
  rcs: { name: "RCS", sign: "message" },
  whatsapp: { name: "WhatsApp", sign: "message" },
};

export const DELIVERIES = {
  queued: "on its way",
  sent: "handed over",
  delivered: "arrived",
  undelivered: "lost",
  failed: "failed",
  answered: "picked up",
  no_answer: "not picked up",
  expired: "too late",
  skipped: "skipped",
};

export const ENDS = {
  approved: {
    tone: "good",
    sign: "check",
    title: "Paid",
    login: "Logged in",
    told: "The payer confirmed exactly this.",
  },
  declined: {
    tone: "bad",
    sign: "hand",
    title: "The payer said no",
    told: "Nothing was paid. The bank is told why.",
  },
  rejected: {
    tone: "bad",
    sign: "cross",
    title: "Not the payment that was confirmed",
    told: "What was about to be executed differs from what the payer was shown. The code is void (RTS Art. 5).",
  },
  blocked: {
    tone: "bad",
    sign: "lock",
    title: "Blocked",
    told: "Too many wrong answers in a row (RTS Art. 4(3)(b)).",
  },
  expired: { tone: "bad", sign: "clock", title: "Too late", told: "Nobody answered in time. Nothing was paid." },
  cancelled: { tone: "plain", sign: "cross", title: "Cancelled", told: "The bank took the challenge back." },
  undeliverable: { tone: "bad", sign: "cross", title: "Nobody was reached", told: "Every channel failed." },
  refused: { tone: "bad", sign: "shield", title: "Refused", told: "The service saw a risk. Nothing was sent." },
};

export const OUTCOMES = {
  approved: "Approved.",
  incorrect: "That is not the code.",
  transaction_mismatch: "Another transaction than the payer confirmed: the code is void.",
  expired: "Too late: the code has expired.",
  blocked: "Blocked: too many wrong answers.",
  already_used: "Already used: a code is accepted once.",
  cancelled: "The challenge was cancelled.",
  refused: "Refused.",
  undeliverable: "No channel reached the payer.",
  declined: "The payer said no.",
};

export const REASONS = {
  not_me: "“This is not me”: the payer did not start it.",
  mistake: "The payer made a mistake.",
  other: "The payer gave no reason.",
};

export const FINAL = new Set(Object.keys(ENDS));

export function money(amount) {
  if (!amount) return "";
  return new Intl.NumberFormat("en-GB", { style: "currency", currency: amount.currency }).format(
    Number(amount.amount),
  );
}

export function clockOf(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// An IBAN in groups of four, as it is printed.
export function grouped(iban) {
  return (iban ?? "").replace(/\s/g, "").replace(/(.{4})(?=.)/g, "$1 ");
}

// A cent more, in text: no sum of money is a double.
export function aCentMore(amount) {
  const [whole, part = ""] = amount.split(".");
  const minor = BigInt(whole + part.padEnd(2, "0").slice(0, 2)) + 1n;
  const text = String(minor).padStart(3, "0");
  return `${text.slice(0, -2)}.${text.slice(-2)}`;
}
