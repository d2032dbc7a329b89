/** Criteria that a teacher tries before they are anybody's. */

import type { Criterion } from "../../client/lectern";
import { fill, h, newId, say } from "./dom";
import { t } from "./i18n";

const MOST_CRITERIA = 8;
const USUAL_POINTS = 4;
const MOST_POINTS = 20;

interface Row {
  element: HTMLElement;
  legend: HTMLElement;
  remove: HTMLButtonElement;
  title: HTMLInputElement;
  criterion: (criterionId: string) => Criterion;
}

/** Fields for a draft of a rubric; *onChange* hears that it is another one now. */
export class RubricDraft {
  readonly element: HTMLElement;
  readonly #rows: Row[] = [];
  readonly #list = h("div", { class: "criteria" });
  readonly #add = h("button", { type: "button", onclick: () => this.#append() }, t("draftAdd"));
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    this.#list.addEventListener("input", onChange);
    this.element = h(
      "div",
      { class: "draft", "data-testid": "draft" },
      h("h3", {}, t("draft")),
      h("p", { class: "hint" }, t("draftNote")),
      this.#list,
      this.#add,
    );
  }

  /** The draft, or null where there is none. */
  get criteria(): readonly Criterion[] | null {
    return this.#rows.length > 0 ? this.#rows.map(({ criterion }, at) => criterion(`c${at + 1}`)) : null;
  }

  #append(): void {
    const row = criterionRow(() => this.#remove(row));
    this.#rows.push(row);
    this.#list.append(row.element);
    this.#changed();
    row.title.focus();
  }

  #remove(row: Row): void {
    const place = this.#rows.indexOf(row);
    this.#rows.splice(place, 1);
    row.element.remove();
    this.#changed();
    // Whoever works by the keyboard stays where they were.
    (this.#rows[place] ?? this.#rows[place - 1])?.remove.focus();
    if (this.#rows.length === 0) this.#add.focus();
  }

  #changed(): void {
    for (const [at, { legend, remove }] of this.#rows.entries()) {
      say(legend, t("draftCriterion", { number: at + 1 }));
      remove.setAttribute("aria-label", t("draftRemove", { number: at + 1 }));
    }
    this.#add.disabled = this.#rows.length >= MOST_CRITERIA;
    this.#onChange();
  }
}

function criterionRow(onRemove: () => void): Row {
  const title = h("input", { id: newId("criterion"), required: true, maxlength: 120, dir: "auto", autocomplete: "off" });
  const description = h("textarea", { id: newId("criterion"), rows: 2, maxlength: 600, dir: "auto" });
  const points = h("input", {
    id: newId("criterion"),
    type: "number",
    required: true,
    min: 1,
    max: MOST_POINTS,
    step: 1,
    value: USUAL_POINTS,
  });
  const legend = h("legend");
  const remove = h("button", { type: "button", onclick: onRemove }, "✕");
  const field = (word: "draftTitle" | "draftDescription" | "draftPoints", input: HTMLElement): HTMLElement =>
    h("div", { class: "field" }, h("label", { for: input.id }, t(word)), input);
  const element = h("fieldset", { class: "criterion" });
  fill(
    element,
    legend,
    h("div", { class: "row fields" }, field("draftTitle", title), field("draftPoints", points), remove),
    field("draftDescription", description),
  );
  return {
    element,
    legend,
    remove,
    title,
    criterion: (criterionId) => ({
      criterionId,
      title: title.value.trim(),
      description: description.value.trim(),
      maxPoints: points.valueAsNumber,
    }),
  };
}
