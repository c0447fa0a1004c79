// Verifies in this browser what the page claims: for each event the leaf's hash, its inclusion proof up to the
// checkpoint's root, and the commitments of what was opened; once, the checkpoint's Ed25519 signature.
//
// It reads the bytes that stand on the page and nothing else, and asks nobody. RFC 6962 section 2.1, RFC 9162 section
// 2.1.3.2, C2SP tlog-proof, tlog-checkpoint and signed-note.

const encoder = new TextEncoder();
const HASH_BYTES = 32;
const ED25519 = 0x01;

function bytesOf(base64) {
  const text = atob(base64);
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function base64Of(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function hexOf(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOfHex(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

function leafHash(leaf) {
  return sha256(Uint8Array.of(0), encoder.encode(leaf));
}

function nodeHash(left, right) {
  return sha256(Uint8Array.of(1), left, right);
}

// The root that a proof leads to from a leaf's hash. Sizes are BigInt: a log may have more leaves than a double counts.
async function rootFrom(leaf, index, size, proof) {
  if (index < 0n || index >= size) throw new Error("the index is not in the checkpoint");
  let place = index;
  let last = size - 1n;
  let reached = leaf;
  for (const sibling of proof) {
    if (last === 0n) throw new Error("the proof is too long");
    if (place % 2n === 1n || place === last) {
      reached = await nodeHash(sibling, reached);
      while (place % 2n === 0n && place !== 0n) {
        place >>= 1n;
        last >>= 1n;
      }
    } else {
      reached = await nodeHash(reached, sibling);
    }
    place >>= 1n;
    last >>= 1n;
  }
  if (last !== 0n) throw new Error("the proof is too short");
  return reached;
}

function checkpointIn(note) {
  const end = note.lastIndexOf("\n\n");
  const text = note.slice(0, end + 1);
  const [origin, size, root] = text.split("\n");
  if (end < 0 || !/^(0|[1-9][0-9]*)$/.test(size ?? "")) throw new Error("the checkpoint cannot be read");
  const signatures = note
    .slice(end + 2)
    .split("\n")
    .map((line) => /^— (\S+) (\S+)$/.exec(line))
    .filter((found) => found)
    .map((found) => ({ name: found[1], bytes: bytesOf(found[2]) }));
  return { text, origin, size: BigInt(size), root, signatures };
}

function proofIn(text) {
  const [head] = text.split("\n\n", 1);
  const [header, ...lines] = head.split("\n");
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = /^index (0|[1-9][0-9]*)$/.exec(lines.shift() ?? "");
  const hashes = lines.map(bytesOf);
  if (header !== "c2sp.org/tlog-proof@v1" || !index || hashes.some((hash) => hash.length !== HASH_BYTES)) {
    throw new Error("the proof cannot be read");
  }
  return { index: BigInt(index[1]), hashes, note: text.slice(head.length + 2) };
}

// Which of the keys signed the checkpoint; null where this browser has no Ed25519.
async function signersOf(checkpoint, verifierKeys) {
  const signers = [];
  for (const verifierKey of verifierKeys) {
    const [, name, id, material] = /^(.+)\+([0-9a-f]{8})\+(.+)$/.exec(verifierKey) ?? [];
    const key = bytesOf(material ?? "");
    if (name !== checkpoint.origin || key[0] !== ED25519) continue;
    const expected = hexOf((await sha256(encoder.encode(`${name}\n`), key)).slice(0, 4));
    if (expected !== id) continue;
    let imported;
    try {
      imported = await crypto.subtle.importKey("raw", key.slice(1), { name: "Ed25519" }, false, ["verify"]);
    } catch {
      return null;
    }
    for (const { name: signer, bytes } of checkpoint.signatures) {
      if (signer !== name || hexOf(bytes.slice(0, 4)) !== id) continue;
      const holds = await crypto.subtle.verify("Ed25519", imported, bytes.slice(4), encoder.encode(checkpoint.text));
      if (!holds) throw new Error("a signature of the checkpoint is wrong");
      signers.push(id);
    }
  }
  if (!signers.length) throw new Error("none of the keys signed the checkpoint");
  return signers;
}

function mark(element, holds, text) {
  element.classList.remove("good", "bad");
  element.classList.add(holds ? "good" : "bad");
  element.textContent = text;
}

// A value that was opened, against the commitment in the leaf.
async function commitmentHolds(place, leaf) {
  const name = place.dataset.disclosed;
  const hash = hexOf(await sha256(bytesOfHex(place.dataset.salt), encoder.encode(place.textContent)));
  const holds = leaf.commitments?.[name] === `sha256:${hash}`;
  const said = place.parentElement.querySelector("[data-committed]");
  mark(said, holds, holds ? "✓ is what the leaf commits to" : "✗ is not what the leaf commits to");
  return holds;
}

async function verifyStep(step, checkpoint, note) {
  const leafText = step.querySelector("[data-leaf]").textContent;
  const proof = proofIn(step.querySelector("[data-proof]").textContent);
  const said = step.querySelector("[data-reached]");
  if (proof.note !== note) throw new Error("the proof is for another checkpoint");
  const leaf = JSON.parse(leafText);
  if (leaf.id !== step.dataset.event) throw new Error("the leaf is of another event");
  const reached = base64Of(await rootFrom(await leafHash(leafText), proof.index, checkpoint.size, proof.hashes));
  const holds = reached === checkpoint.root;
  mark(said, holds, `Root reached from this leaf: ${reached}${holds ? "" : `, and not ${checkpoint.root}`}`);
  if (!holds) throw new Error("leads to another root");
  for (const place of step.querySelectorAll("[data-disclosed]")) {
    if (!(await commitmentHolds(place, leaf))) throw new Error("a personal value is not what was committed to");
  }
}

// What stands large at the top of the page is a value that was opened below, and checked there.
function checkShown() {
  for (const place of document.querySelectorAll("[data-shows]")) {
    const opened = document.querySelector(`[data-disclosed="${place.dataset.shows}"]`);
    if (opened?.textContent !== place.textContent) throw new Error("the text shown above is not the one that was opened");
  }
}

function conclude(holds, said, how) {
  const verdict = document.querySelector("#verdict");
  verdict.classList.remove("good", "bad");
  verdict.classList.add(holds ? "good" : "bad");
  document.querySelector("#verdict-said").textContent = said;
  document.querySelector("#verdict-how").textContent = how;
}

async function verifyPage() {
  const source = document.querySelector("#checkpoint");
  const steps = [...document.querySelectorAll(".step")];
  const proven = steps.filter((step) => step.querySelector("[data-proof]"));
  if (!source || !proven.length) return;
  if (!globalThis.crypto?.subtle) {
    document.querySelector("#verdict-how").textContent =
      "This browser computes no hashes on a page without https. Fetch the evidence file and check it: " +
      "sca audit check-evidence FILE";
    return;
  }
  const note = source.textContent;
  let checkpoint;
  let signers;
  try {
    checkpoint = checkpointIn(note);
    const keys = [...document.querySelectorAll("[data-verifier-key]")].map((place) => place.textContent);
    signers = await signersOf(checkpoint, keys);
  } catch (fault) {
    conclude(false, "Not verified: the checkpoint", `${fault.message}.`);
    return;
  }
  let failed = 0;
  for (const step of proven) {
    const said = step.querySelector("[data-mark]");
    try {
      await verifyStep(step, checkpoint, note);
      if (step === steps[0]) checkShown();
      mark(said, true, "✓ verified in your browser");
    } catch (fault) {
      failed += 1;
      mark(said, false, `✗ not verified: ${fault.message}`);
    }
  }
  const waiting = steps.length - proven.length;
  const later = waiting ? ` ${waiting} more wait for a checkpoint: load the page again.` : "";
  const signed = signers
    ? `Its signature by the key ${signers.join(", ")} holds.`
    : "This browser has no Ed25519: its signature was not checked here.";
  if (failed) {
    conclude(false, `Not verified: ${failed} of ${proven.length} events`, "The events that failed are marked below.");
  } else {
    conclude(
      true,
      `Verified in your browser: ${proven.length === 1 ? "the event" : `all ${proven.length} events`}`,
      `Each leads to the root ${checkpoint.root} of size ${checkpoint.size}. ${signed}${later}`,
    );
  }
}

await verifyPage();
