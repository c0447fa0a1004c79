// Verifies in this browser what the page claims: for each event the leaf's hash, its inclusion proof up to the
// checkpoint's root, the commitments of what was opened, and that the page shows what the leaf says; once, the
// checkpoint's Ed25519 signature, and that the head of the page follows from the proven leaves.
//
// It reads the bytes that stand on the page and nothing else, and asks nobody. RFC 6962 section 2.1, RFC 9162 section
// 2.1.3.2, C2SP tlog-proof, tlog-checkpoint and signed-note.

import { factsOf, headlineOf, momentOf, partiesOf, personalLabel, titleOf, toneOf } from "./told.js";

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

function must(holds, told) {
  if (!holds) throw new Error(told);
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

// The pairs of a list of facts as they are shown; of an id the id, without the button that copies it.
function pairsIn(list) {
  return [...(list?.children ?? [])].map((row) => {
    const value = row.querySelector("dd > code, dd > time, dd > .opened") ?? row.querySelector("dd");
    return [row.querySelector("dt")?.textContent, value?.textContent];
  });
}

// All that an element says but in these parts, whatever space is between.
function wordsOf(element, ...left) {
  const copy = element.cloneNode(true);
  for (const part of copy.querySelectorAll(left.join(", ") || "no-part")) part.remove();
  return copy.textContent.replace(/\s+/g, "");
}

// That an event is shown as its leaf has it.
function checkTold(step, leaf, first, index) {
  const { full, date, clock } = momentOf(leaf.at_ms);
  const [title, by] = [titleOf(leaf), `${leaf.type} by ${leaf.actor ?? "–"}`];
  const facts = factsOf(leaf, first);
  const when = step.querySelector(".when");
  must(step.querySelector("h3").textContent === title, "the title is not what the leaf says");
  must(when.querySelector("time").dateTime === full, "the time is not what the leaf says");
  must(when.querySelector("time").textContent === `${date} ${clock}`, "the time is not what the leaf says");
  must(when.querySelector(".place").textContent === `index ${index}`, "the index is not what the proof says");
  must(step.querySelector(".by").textContent === by, "who did it is not what the leaf says");
  must(same(pairsIn(step.querySelector("article > .told")), facts), "what is told is not what the leaf says");
  must(step.className === `step ${toneOf(leaf)}`, "how it is marked is not what the leaf says");
  const told = [title, by, ...facts.flat()].join("").replace(/\s+/g, "");
  must(wordsOf(step, ".when", ".attached", ".mark-of-proof") === told, "more is told than the leaf says");
  must(wordsOf(when) === `${date}${clock}index${index}`, "more is told than the leaf says");
}

// That every value stands under its own name, and that what stays closed is what the leaf commits to.
function checkNamed(step, leaf) {
  const opened = [...step.querySelectorAll("[data-disclosed]")];
  for (const place of opened) {
    const label = place.closest("dd").previousElementSibling.textContent;
    must(label === personalLabel(place.dataset.disclosed), "a personal value stands under another name");
  }
  const names = opened.map((place) => place.dataset.disclosed);
  const closed = Object.keys(leaf.commitments ?? {}).filter((name) => !names.includes(name)).sort();
  const said = step.querySelector(".personal > .quiet")?.textContent ?? "";
  const told = closed.length ? `Kept closed from auditors: ${closed.map(personalLabel).join(", ")}.` : "";
  must(!opened.length || said === told, "what stays closed is not what the leaf says");
}

async function verifyStep(step, checkpoint, note, before) {
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
  must(leaf.challenge === challengeAsked(), "the leaf is not about this challenge");
  must(before.every((one) => one.index < proof.index), "it stands out of the order of the log");
  checkTold(step, leaf, step.matches(":first-child") ? leaf : leafIn(step.parentElement.firstElementChild), proof.index);
  checkNamed(step, leaf);
  return { leaf, index: proof.index };
}

function leafIn(step) {
  return JSON.parse(step.querySelector("[data-leaf]").textContent);
}

// The challenge whose page the browser asked for.
function challengeAsked() {
  return location.pathname.split("/").at(-1);
}

// What stands above the events, against the proven ones. Returns what is wrong, or null.
function wrongAbove(proven, isAll) {
  const first = document.querySelector(".line > li");
  const disclosed = (name) => first.querySelector(`[data-disclosed="${name}"]`)?.textContent;
  const id = document.querySelector(".under > code");
  if (id.textContent !== challengeAsked() || id.title !== challengeAsked()) return "the challenge";
  const shown = document.querySelector(".shown blockquote")?.textContent;
  if (shown !== disclosed("message_shown")) return "the text shown";
  const leaves = proven.map((one) => one.leaf);
  const told = headlineOf(leaves, disclosed("transaction"));
  const badge = document.querySelector("h1 > .badge");
  const isWaiting = !told.ended && !isAll && badge.textContent.endsWith(", not proven yet");
  const ended = isWaiting ? badge.textContent : (told.ended ?? "pending");
  const isTold =
    document.querySelector("h1").textContent === `${told.subject} ${ended}` &&
    badge.className === `badge ${told.tone}` &&
    document.querySelector(".eyebrow").textContent === told.eyebrow;
  if (!isTold) return "the headline";
  const parties = pairsIn(document.querySelector(".parties"));
  const expected = partiesOf(leaves[0]);
  return parties.length === expected.length
    ? (expected.find((pair, at) => !same(pair, parties[at]))?.[0] ?? null)
    : "what is told of all events";
}

// `holds` is null when nothing is wrong and not everything is proven.
function conclude(holds, said, how) {
  const verdict = document.querySelector("#verdict");
  verdict.classList.remove("good", "bad", "open");
  verdict.classList.add(holds === null ? "open" : holds ? "good" : "bad");
  document.querySelector("#verdict-said").textContent = said;
  document.querySelector("#verdict-how").textContent = how;
}

// Verifies every event that has a proof. Returns those that are proven, and how many were tried and failed.
async function verifySteps(steps, checkpoint, note) {
  const proven = [];
  const last = steps.findLastIndex((step) => step.querySelector("[data-proof]"));
  let [tried, failed] = [0, 0];
  for (const [at, step] of steps.entries()) {
    const said = step.querySelector(".mark-of-proof") ?? step.appendChild(document.createElement("span"));
    const hasProof = Boolean(step.querySelector("[data-proof]"));
    tried += hasProof ? 1 : 0;
    if (!hasProof && at > last) {
      said.textContent = "waiting for a checkpoint";
      continue;
    }
    try {
      must(hasProof, "it stands before an event of the log, and is not in it");
      proven.push(await verifyStep(step, checkpoint, note, proven));
      mark(said, true, "✓ verified in your browser");
    } catch (fault) {
      failed += 1;
      mark(said, false, `✗ not verified: ${fault.message}`);
    }
  }
  return { proven, tried, failed };
}

async function verifyPage() {
  const source = document.querySelector("#checkpoint");
  const steps = [...document.querySelectorAll(".line > li")];
  if (!source || !steps.some((step) => step.querySelector("[data-proof]"))) return;
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
  const { proven, tried, failed } = await verifySteps(steps, checkpoint, note);
  if (failed) {
    conclude(false, `Not verified: ${failed} of ${steps.length} events`, "The events that failed are marked below.");
    return;
  }
  const wrong = wrongAbove(proven, tried === steps.length);
  if (wrong) {
    conclude(false, `Not verified: ${wrong}`, "What the page says above is not what its verified events say.");
    return;
  }
  const signed = signers
    ? `Its signature by the key ${signers.join(", ")} holds.`
    : "This browser has no Ed25519: its signature was not checked here.";
  const how = `Each leads to the root ${checkpoint.root} of size ${checkpoint.size}. ${signed}`;
  const waiting = steps.length - tried;
  if (waiting) {
    const said = `${tried} of ${steps.length} events verified in your browser, ${waiting} wait${waiting === 1 ? "s" : ""}`;
    conclude(null, said, `${how} What waits is not proven: load the page again.`);
    return;
  }
  conclude(true, `Verified in your browser: ${tried === 1 ? "the event" : `all ${tried} events`}`, how);
}

await verifyPage();
