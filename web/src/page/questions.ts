/** One form per type of question: what a learner sees, and the answer that it reads. */

import type { Question } from "../../client/lectern";
import type { Answer } from "../contract";
import { h, newId } from "./dom";
import { number, t, type Word } from "./i18n";
import { directionOf, plainOf, richBlock, richInline } from "./rich";

const MAX_TEXT_BYTES = 16_384;

/** Why a form cannot be sent yet. */
export class Incomplete extends Error {
  constructor(
    readonly word: Word,
    readonly control: HTMLElement | null,
  ) {
    super(word);
  }
}

export interface QuestionForm {
  element: HTMLFieldSetElement;
  /** What the learner entered. Throws `Incomplete`. */
  read(): Answer;
  /** Show an earlier answer, where it fits this question. */
  write(answer: Answer): void;
}

interface Controls {
  elements: HTMLElement[];
  read(): Answer;
  write(answer: Answer): void;
}

/** The form of *question*, the *position*-th that is answered; null for a description, which takes none. */
export function questionForm(question: Question, position: number): QuestionForm | null {
  const controls = controlsOf(question);
  if (controls === null) return null;
  const textId = newId("question");
  const text = richBlock(question.text, "rich prompt");
  text.id = textId;
  const legend = h(
    "legend",
    {},
    h("span", { class: "legend-number" }, t("questionNumber", { number: position })),
    h("span", { class: "legend-points" }, t("points", { points: number(Number(question.weight ?? 1), 3) })),
  );
  // The question runs in its own direction, options included; what surrounds it, in the page's.
  const body = h("div", { dir: directionOf(question.text) }, text, ...controls.elements);
  const element = h("fieldset", { class: "question", "aria-describedby": textId }, legend, body);
  return { element, read: controls.read, write: controls.write };
}

function controlsOf(question: Question): Controls | null {
  switch (question.type) {
    case "singleChoice":
      return singleChoice(question);
    case "multipleChoice":
      return multipleChoice(question);
    case "trueFalse":
      return trueFalse();
    case "numeric":
      return numeric();
    case "shortText":
      return freeText(h("input", { type: "text", dir: "auto", autocomplete: "off", maxlength: 1000 }), null);
    case "essay":
      return freeText(h("textarea", { dir: "auto", rows: 6 }), "gradedByPerson");
    case "matching":
      return matching(question);
    case "description":
      return null;
  }
}

function choice(type: "radio" | "checkbox", name: string, value: string, label: Node | string): HTMLLabelElement {
  return h("label", { class: "choice" }, h("input", { type, name, value }), h("span", {}, label));
}

function inputsIn(list: HTMLElement): HTMLInputElement[] {
  return [...list.querySelectorAll("input")];
}

function singleChoice({ options = [] }: Question): Controls {
  const name = newId("choice");
  const list = h(
    "div",
    { class: "choices" },
    ...options.map((option) => choice("radio", name, option.optionId, richInline(option.text))),
  );
  return {
    elements: [list],
    read: () => {
      const chosen = inputsIn(list).find((input) => input.checked);
      if (!chosen) throw new Incomplete("answerFirst", inputsIn(list)[0] ?? null);
      return { optionId: chosen.value };
    },
    write: (answer) => {
      if (!("optionId" in answer)) return;
      for (const input of inputsIn(list)) input.checked = input.value === answer.optionId;
    },
  };
}

function multipleChoice({ options = [] }: Question): Controls {
  const name = newId("choice");
  const list = h(
    "div",
    { class: "choices" },
    ...options.map((option) => choice("checkbox", name, option.optionId, richInline(option.text))),
  );
  return {
    elements: [h("p", { class: "hint" }, h("bdi", {}, t("chooseAll"))), list],
    read: () => ({
      optionIds: inputsIn(list)
        .filter((input) => input.checked)
        .map((input) => input.value),
    }),
    write: (answer) => {
      if (!("optionIds" in answer)) return;
      for (const input of inputsIn(list)) input.checked = answer.optionIds.includes(input.value);
    },
  };
}

function trueFalse(): Controls {
  const name = newId("choice");
  const list = h(
    "div",
    { class: "choices choices-row" },
    choice("radio", name, "true", t("trueLabel")),
    choice("radio", name, "false", t("falseLabel")),
  );
  return {
    elements: [list],
    read: () => {
      const chosen = inputsIn(list).find((input) => input.checked);
      if (!chosen) throw new Incomplete("answerFirst", inputsIn(list)[0] ?? null);
      return { value: chosen.value === "true" };
    },
    write: (answer) => {
      if (!("value" in answer)) return;
      for (const input of inputsIn(list)) input.checked = input.value === String(answer.value);
    },
  };
}

function numeric(): Controls {
  const input = h("input", { type: "text", inputmode: "decimal", dir: "ltr", autocomplete: "off", class: "short" });
  const label = h("label", { class: "field" }, h("span", {}, t("yourNumber")), input);
  return {
    elements: [label],
    read: () => {
      const written = input.value.trim().replaceAll("−", "-").replace(/^([^.,]*),([^.,]*)$/, "$1.$2");
      if (written === "") throw new Incomplete("answerFirst", input);
      const value = Number(written);
      const wellFormed = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i.test(written);
      const tooLarge = Number.isInteger(value) ? !Number.isSafeInteger(value) && Math.abs(value) <= 1e21 : false;
      if (!wellFormed || tooLarge || Math.abs(value) > 1e300) throw new Incomplete("notANumber", input);
      return { number: value };
    },
    write: (answer) => {
      if ("number" in answer) input.value = String(answer.number);
    },
  };
}

function freeText(input: HTMLInputElement | HTMLTextAreaElement, hint: Word | null): Controls {
  const label = h("label", { class: "field" }, h("span", {}, t("yourAnswer")), input);
  return {
    elements: hint ? [h("p", { class: "hint" }, h("bdi", {}, t(hint))), label] : [label],
    read: () => {
      if (input.value.trim() === "") throw new Incomplete("answerFirst", input);
      if (new TextEncoder().encode(input.value).length > MAX_TEXT_BYTES) throw new Incomplete("textTooLong", input);
      return { text: input.value };
    },
    write: (answer) => {
      if ("text" in answer) input.value = answer.text;
    },
  };
}

function matching({ stems = [], choices = [] }: Question): Controls {
  const selects = new Map<string, HTMLSelectElement>();
  const rows = stems.map((stem) => {
    const id = newId("stem");
    const select = h(
      "select",
      { id },
      h("option", { value: "" }, t("chooseOne")),
      ...choices.map((each) => h("option", { value: each.choiceId }, plainOf(each.text))),
    );
    selects.set(stem.stemId, select);
    return h("div", { class: "pair" }, h("label", { for: id }, richInline(stem.text)), select);
  });
  return {
    elements: [h("div", { class: "pairs" }, ...rows)],
    read: () => {
      const pairs: Record<string, string> = {};
      for (const [stemId, select] of selects) if (select.value !== "") pairs[stemId] = select.value;
      if (Object.keys(pairs).length === 0) throw new Incomplete("answerFirst", [...selects.values()][0] ?? null);
      return { pairs };
    },
    write: (answer) => {
      if (!("pairs" in answer)) return;
      for (const [stemId, select] of selects) select.value = answer.pairs[stemId] ?? "";
    },
  };
}
