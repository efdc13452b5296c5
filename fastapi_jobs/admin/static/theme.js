// Before the first paint: the theme that was chosen here, or else that of the system.
(() => {
  const KEY = "fastapi-jobs-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const chosen = localStorage.getItem(KEY) || (dark.matches ? "dark" : "light");
    document.documentElement.setAttribute("data-bs-theme", chosen);
    document.dispatchEvent(new Event("jobs:theme"));
  };
  show();
  dark.addEventListener("change", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const now = document.documentElement.getAttribute("data-bs-theme");
    localStorage.setItem(KEY, now === "dark" ? "light" : "dark");
    show();
  });
})();
