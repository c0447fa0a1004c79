// Puts a copy button beside every example. The pages are complete without it.
const examples = navigator.clipboard ? document.querySelectorAll("figure.example") : [];

for (const example of examples) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(example.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  });
  button.setAttribute("aria-live", "polite");
  example.querySelector("figcaption").append(button);
}
