/** Loading, empty and failed: the states between the good ones. */

import { h } from "./dom";
import { t } from "./i18n";

export function loadingNotice(): HTMLElement {
  return h("p", { class: "notice loading", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), t("loading"));
}

export function emptyNotice(text: string): HTMLElement {
  return h("p", { class: "notice empty" }, text);
}

/** What went wrong, in the page's words first and the server's after; *again* tries once more. */
export function errorNotice(error: unknown, again: (() => void) | null): HTMLElement {
  const detail = error instanceof Error ? error.message : "";
  return h(
    "div",
    { class: "notice error", role: "alert" },
    h("p", {}, t("failedToLoad")),
    detail !== "" && h("p", { class: "error-detail" }, h("bdi", {}, detail)),
    again !== null && h("button", { type: "button", onclick: again }, t("tryAgain")),
  );
}
