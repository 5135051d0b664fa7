// Keys press the buttons that name them. Without this file the buttons do the same.
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const button = document.querySelector(`button[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (button) button.click();
});
// A second press while the first is on its way says nothing.
document.addEventListener("submit", (event) => {
  if (document.body.dataset.sent) event.preventDefault();
  document.body.dataset.sent = "yes";
});
// Who comes back by the browser's own button sees the page as it is now.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
