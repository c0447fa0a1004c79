// Calls of the API, as the bank's backend or as the auditor, each kept so that it can be shown.

export class Problem extends Error {
  constructor(status, body) {
    const mistakes = (body.errors ?? []).map((mistake) => `${mistake.pointer}: ${mistake.detail}`);
    super(mistakes.length ? mistakes.join("; ") : body.detail || body.title || `status ${status}`);
    this.status = status;
    this.code = body.code ?? "";
  }
}

async function answerOf(response) {
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  return isJson && text ? JSON.parse(text) : text;
}

export async function readKeys() {
  const response = await fetch("/sandbox/keys");
  const answer = await answerOf(response);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

// Events: `call`, with what was sent and answered in `detail`.
export class Api extends EventTarget {
  #keys;

  constructor(keys) {
    super();
    this.#keys = keys;
  }

  get auditorKey() {
    return this.#keys.auditor;
  }

  // Of the bank. What creates carries an Idempotency-Key: sent again, it would be answered the same.
  async bank(method, path, body) {
    const headers = { Authorization: `Bearer ${this.#keys.bank}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method === "POST") headers["Idempotency-Key"] = crypto.randomUUID();
    const began = performance.now();
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const answer = await answerOf(response);
    const took = performance.now() - began;
    this.dispatchEvent(
      new CustomEvent("call", { detail: { method, path, body, status: response.status, answer, took } }),
    );
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }

  async auditor(path) {
    const response = await fetch(path, { headers: { Authorization: `Bearer ${this.#keys.auditor}` } });
    const answer = await answerOf(response);
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }

  // The sandbox's own endpoints take no key.
  async sandbox(path, body) {
    const sent = body && {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    };
    const response = await fetch(path, sent);
    const answer = await answerOf(response);
    if (!response.ok) throw new Problem(response.status, answer);
    return answer;
  }
}
