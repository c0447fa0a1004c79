// On a narrow screen one place is shown at a time: checkout, handset or log. A dot says where something arrived.

import { byId } from "./dom.js";

export function showPlaces() {
  const buttons = [...document.querySelectorAll(".places [data-place]")];
  const show = (place) => {
    document.body.dataset.place = place;
    for (const one of buttons) {
      if (one.dataset.place === place) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
    dot(place, false);
  };
  const dot = (place, isShown) => {
    const button = buttons.find((one) => one.dataset.place === place);
    button.querySelector(".dot").hidden = !isShown;
    const name = button.querySelector("span").textContent;
    if (isShown) button.setAttribute("aria-label", `${name}, something new`);
    else button.removeAttribute("aria-label");
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      show(button.dataset.place);
      window.scrollTo(0, 0);
    });
  }
  byId("handset").addEventListener("arrived", () => dot("handset", document.body.dataset.place !== "handset"));
  show(document.body.dataset.place);
}
