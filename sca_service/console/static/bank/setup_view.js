// Sets up one of the handset's apps: what it is for, one button, and the code of an approval where the law wants one.

import { button, byId, icon, make, say, whileBusy } from "./dom.js";

// `work(askCode)` enrols; `done()` is called when it has.
export function setupView({ sign, told, label, work, mailbox, done }) {
  const place = make("div", { class: "setup" });
  const intro = () => [make("span", { class: "tile" }, icon(sign)), ...told.map((line) => make("p", {}, line))];
  const fault = make("p", { class: "fault", role: "alert", hidden: true });
  const start = button(
    label,
    () =>
      whileBusy(start, async () => {
        fault.hidden = true;
        try {
          await work((challenge, isAgain) => askedCode(place, mailbox, challenge, isAgain));
          done();
        } catch (error) {
          place.replaceChildren(...intro(), start, fault);
          fault.textContent = error.message;
          fault.hidden = false;
          say(error.message);
        }
      }),
    { class: "primary" },
  );
  place.append(...intro(), start, fault);
  return place;
}

function askedCode(place, mailbox, challenge, isAgain) {
  return new Promise((resolve) => {
    const code = make("input", {
      id: "approval-code",
      inputmode: "numeric",
      autocomplete: "one-time-code",
      pattern: "[0-9]{4,12}",
      maxlength: "12",
      required: true,
      title: "The digits of the code",
    });
    const fill = button(
      "",
      () => {
        code.value = fill.dataset.code;
        code.form.requestSubmit();
      },
      { class: "fill", hidden: true },
    );
    const offer = () => {
      const found = mailbox.codeFor(challenge.id);
      if (!found) return;
      fill.dataset.code = found;
      fill.textContent = `From Messages: ${found}`;
      fill.hidden = false;
      byId("banners").replaceChildren(); // what it says stands here now
      mailbox.removeEventListener("message", offer);
    };
    mailbox.addEventListener("message", offer);
    mailbox.knows();
    offer();
    const form = make(
      "form",
      {
        class: "asked",
        on: {
          submit: (event) => {
            event.preventDefault();
            mailbox.removeEventListener("message", offer);
            resolve(code.value);
          },
        },
      },
      make(
        "p",
        {},
        "You have something enrolled already, so your bank wants your approval (RTS Art. 24). It sent you a code.",
      ),
      isAgain ? make("p", { class: "fault", role: "alert" }, "That was not the code.") : "",
      make("label", { for: "approval-code" }, "Code"),
      code,
      fill,
      make("button", { type: "submit", class: "primary" }, "Approve"),
    );
    place.replaceChildren(form);
    code.focus({ preventScroll: true });
  });
}
