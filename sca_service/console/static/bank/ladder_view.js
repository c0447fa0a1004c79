// Where a code goes: each channel of the ladder with what became of it, the ones to come, and when the next follows.

import { icon, make } from "./dom.js";
import { CHANNELS, DELIVERIES } from "./words.js";

const TONES = {
  delivered: "good",
  answered: "good",
  undelivered: "bad",
  failed: "bad",
  no_answer: "bad",
  expired: "bad",
};

export function ladderView(ladder, challenge) {
  const tried = challenge.deliveries.map((delivery) => {
    const channel = CHANNELS[delivery.channel] ?? { name: delivery.channel, sign: "message" };
    const tone = TONES[delivery.status] ?? "plain";
    const cost = delivery.cost ? `${delivery.cost.amount} ${delivery.cost.currency}` : "";
    const took = delivery.final_at ? `${Date.parse(delivery.final_at) - Date.parse(delivery.queued_at)} ms` : "";
    return make(
      "li",
      { class: tone },
      icon(channel.sign),
      make("b", {}, channel.name),
      make("span", {}, DELIVERIES[delivery.status] ?? delivery.status),
      make("small", {}, [delivery.to, took, cost].filter(Boolean).join(" · ")),
    );
  });
  const used = new Set(challenge.deliveries.map((delivery) => delivery.channel));
  const toCome = ladder
    .filter((channel) => !used.has(channel))
    .map((channel) =>
      make(
        "li",
        { class: "later" },
        icon(CHANNELS[channel].sign),
        make("b", {}, CHANNELS[channel].name),
        make("span", {}, "if needed"),
      ),
    );
  return [...tried, ...toCome];
}
