/** Live figures drawn: tiles, freshness, and bars in SVG. */

import type { AssignmentFigures } from "../contract";
import { h, say } from "./dom";
import { ago, number, percent, signed, t, type Word } from "./i18n";

const SVG = "http://www.w3.org/2000/svg";

function svg(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** A bar from 0 to 1. The drawing is mirrored by the style sheet where the page runs right to left. */
export class Bar {
  readonly element = svg("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img" });
  readonly #fill = svg("rect", { class: "bar-fill", x: 0, y: 0, width: 0, height: 8 });

  constructor() {
    this.element.append(svg("rect", { class: "bar-track", x: 0, y: 0, width: 100, height: 8 }), this.#fill);
  }

  show(share: number | null, label: string): void {
    this.#fill.setAttribute("width", String(100 * Math.min(1, Math.max(0, share ?? 0))));
    this.element.setAttribute("aria-label", label);
  }
}

/** A mark on an axis from -1 to 1, with a bar from the middle to it. */
export class Axis {
  readonly element = svg("svg", { class: "bar axis", viewBox: "-100 0 200 8", preserveAspectRatio: "none", role: "img" });
  readonly #fill = svg("rect", { class: "axis-fill", x: 0, y: 0, width: 0, height: 8 });

  constructor() {
    this.element.append(
      svg("rect", { class: "bar-track", x: -100, y: 0, width: 200, height: 8 }),
      this.#fill,
      svg("rect", { class: "axis-zero", x: -0.75, y: 0, width: 1.5, height: 8 }),
    );
  }

  show(value: number | null, label: string): void {
    const size = 100 * Math.min(1, Math.abs(value ?? 0));
    this.#fill.setAttribute("x", String((value ?? 0) < 0 ? -size : 0));
    this.#fill.setAttribute("width", String(size));
    this.#fill.setAttribute("class", (value ?? 0) < 0 ? "axis-fill negative" : "axis-fill");
    this.element.setAttribute("aria-label", label);
  }
}

export function shownShare(share: number | null): string {
  return share === null ? t("none") : percent(share);
}

export function shownSigned(value: number | null): string {
  return value === null ? t("none") : signed(value);
}

/** A figure with its name. */
export class Tile {
  readonly element: HTMLElement;
  readonly #value = h("dd", {}, t("none"));
  readonly #note = h("dd", { class: "tile-note" });

  constructor(name: Word, className = "") {
    this.element = h("div", { class: `tile ${className}` }, h("dt", {}, t(name)), this.#value, this.#note);
  }

  show(value: string, note = ""): void {
    say(this.#value, value);
    say(this.#note, note);
  }
}

/** "Live · as of 2 seconds ago", kept up to date by itself until closed. */
export class FreshnessStamp {
  readonly element: HTMLElement;
  readonly #state = h("span", { class: "live-state" });
  readonly #age = h("time", { class: "live-age" });
  readonly #timer: ReturnType<typeof setInterval>;
  #at: Date | null = null;
  #arrived = false;

  constructor() {
    this.element = h("p", { class: "freshness", "data-testid": "freshness" }, h("span", { class: "dot", "aria-hidden": "true" }), this.#state, this.#age);
    this.#timer = setInterval(() => this.#draw(), 1_000);
    this.#draw();
  }

  show(figures: AssignmentFigures): void {
    this.#arrived = true;
    this.#at = figures.asOf.at;
    this.#draw();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #draw(): void {
    const state = !navigator.onLine ? "reconnecting" : this.#arrived ? "live" : "connecting";
    this.element.dataset.state = state;
    say(this.#state, t(state));
    if (this.#at === null) return;
    this.#age.dateTime = this.#at.toISOString();
    say(this.#age, t("asOf", { ago: ago(this.#at, Date.now()) }));
  }
}

/** Received, processed and pending of an assignment. */
export function countsOf({ asOf }: AssignmentFigures): { received: string; processed: string; pending: string } {
  return {
    received: number(asOf.events + asOf.pending),
    processed: number(asOf.events),
    pending: number(asOf.pending),
  };
}
