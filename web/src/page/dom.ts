/** Elements without a framework. Text is always set as text; nothing here parses HTML. */

type Child = Node | string | null | false;
type Attributes = Record<string, string | number | boolean | null | ((event: Event) => void)>;

/**
 * An element. Attributes that are functions become listeners (`onclick`), `true` is the empty
 * attribute, `false` and null are left out.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, String(value));
  }
  fill(element, ...children);
  return element;
}

/** Replace what *element* holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((each): each is Node | string => each !== null && each !== false));
}

/** Set an element's text only where it differs, so that screen readers hear changes and nothing else. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

let lastId = 0;

/** An id that no other element has. */
export function newId(prefix: string): string {
  lastId += 1;
  return `${prefix}-${lastId}`;
}
