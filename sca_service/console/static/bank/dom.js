// Makes elements. What comes from elsewhere becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

// `attributes` are set as they are; `on` holds listeners, `value` of true is an empty attribute, false and null none.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false));
  return element;
}

export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  drawing.append(use);
  return drawing;
}

export function button(label, listener, attributes = {}) {
  return make("button", { type: "button", on: { click: listener }, ...attributes }, label);
}

export function byId(id) {
  return document.getElementById(id);
}

// Tells a screen reader what happened. Emptied first, so that the same words are said again.
export function say(text) {
  const said = byId("said");
  said.textContent = "";
  setTimeout(() => (said.textContent = text), 30);
}

// Runs `work` with the button shut, so that nothing is sent twice.
export async function whileBusy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    element.removeAttribute("aria-busy");
  }
}
