/**
 * Text that somebody else wrote, shown safely.
 *
 * HTML is parsed in an inert document and rebuilt node by node from an allow-list; no markup of an
 * author ever reaches the page as markup. Everything stands in an element with `dir="auto"`, so that
 * Hebrew in an English page, and English in a Hebrew one, run their own way.
 */

import type { RichText } from "../../client/lectern";
import { h } from "./dom";

const INLINE = "b strong i em u s small sub sup code kbd span bdi bdo mark q abbr ruby rt rp br".split(" ");
const BLOCK = "p div pre blockquote ul ol li dl dt dd table caption thead tbody tfoot tr th td hr".split(" ");
const ALLOWED = new Set([...INLINE, ...BLOCK]);
const DROPPED = new Set(
  "script style template iframe object embed noscript svg math head title link meta base form input button select textarea audio video canvas".split(
    " ",
  ),
);
const HEADINGS = /^h[1-6]$/;
const DIRECTIONS = new Set(["ltr", "rtl", "auto"]);

/** *text* as a block. */
export function richBlock(text: RichText, className = "rich"): HTMLElement {
  const block = h("div", { class: className, dir: "auto" });
  block.append(...nodesOf(text));
  return block;
}

/** *text* where only phrases may stand, as in a label. */
export function richInline(text: RichText): HTMLElement {
  const inline = h("bdi", {});
  const parsed = h("div", {});
  parsed.append(...nodesOf(text));
  if (parsed.querySelector(BLOCK.filter((tag) => tag !== "p" && tag !== "div").join(","))) {
    inline.append(plainOf(text));
    return inline;
  }
  for (const [index, node] of [...parsed.childNodes].entries()) {
    if (node instanceof HTMLElement && (node.localName === "p" || node.localName === "div")) {
      if (index > 0) inline.append(" ");
      inline.append(...node.childNodes);
    } else {
      inline.append(node);
    }
  }
  return inline;
}

/** *text* without its mark-up, for places that hold nothing but characters. */
export function plainOf(text: RichText): string {
  const holder = h("div", {});
  holder.append(...nodesOf(text));
  for (const lineBreak of holder.querySelectorAll("br")) lineBreak.replaceWith(" ");
  return (holder.textContent ?? "").replaceAll(/\s+/g, " ").trim();
}

function nodesOf({ format, text }: RichText): Node[] {
  switch (format) {
    case "html":
      return sanitised(text);
    case "moodle":
      // Moodle's own format: HTML in which line breaks count.
      return sanitised(text.replaceAll(/\r?\n/g, "<br>"));
    case "markdown":
      return text.split(/\n{2,}/).map((paragraph) => h("p", {}, ...spans(paragraph)));
    default:
      return lines(text);
  }
}

function lines(text: string): Node[] {
  return text.split(/\r?\n/).flatMap((line, index) => [...(index > 0 ? [h("br")] : []), document.createTextNode(line)]);
}

/** Markdown's emphasis and code, and nothing that links or loads. */
function spans(paragraph: string): Node[] {
  const pieces = paragraph.split(/(\*\*[^*\n]+\*\*|\*[^*\n]+\*|`[^`\n]+`)/);
  return pieces.flatMap((piece) => {
    if (/^\*\*[^*]+\*\*$/.test(piece)) return [h("strong", {}, piece.slice(2, -2))];
    if (/^\*[^*]+\*$/.test(piece)) return [h("em", {}, piece.slice(1, -1))];
    if (/^`[^`]+`$/.test(piece)) return [h("code", {}, piece.slice(1, -1))];
    return lines(piece);
  });
}

function sanitised(html: string): Node[] {
  // Handlers and styles would not survive anyway; without them the parser has nothing to report either.
  const quiet = html.replaceAll(/<[^<>]*>/g, (tag) => tag.replaceAll(/([\s/"'])(?:on\w+|style|srcdoc)\s*=/gi, "$1data-off="));
  const inert = new DOMParser().parseFromString(quiet, "text/html");
  return [...inert.body.childNodes].flatMap((node) => copied(node, 0));
}

/** The direction of the first letter of *text*; null where it has none. */
export function directionOf(text: RichText): "rtl" | "ltr" | null {
  const letter = /\p{L}/u.exec(plainOf(text))?.[0];
  if (letter === undefined) return null;
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(letter) ? "rtl" : "ltr";
}

const DEEPEST = 40;

function copied(node: Node, depth: number): Node[] {
  if (node.nodeType === Node.TEXT_NODE) return [document.createTextNode(node.nodeValue ?? "")];
  if (!(node.nodeType === Node.ELEMENT_NODE) || depth > DEEPEST) return [];
  const source = node as Element;
  const tag = source.localName;
  if (DROPPED.has(tag)) return [];
  if (tag === "img") {
    const description = source.getAttribute("alt");
    return description ? [document.createTextNode(`[${description}]`)] : [];
  }
  const children = [...source.childNodes].flatMap((child) => copied(child, depth + 1));
  const name = HEADINGS.test(tag) ? "p" : tag;
  if (!ALLOWED.has(name)) return children;
  const copy = document.createElement(name);
  const direction = source.getAttribute("dir")?.toLowerCase();
  if (direction && DIRECTIONS.has(direction)) copy.setAttribute("dir", direction);
  const language = source.getAttribute("lang");
  if (language && /^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(language)) copy.setAttribute("lang", language);
  copy.append(...children);
  return [copy];
}
