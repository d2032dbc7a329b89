/** "Explain my mistake": what a tutor says about an answer, arriving word by word; and its teacher's switch. */

import type { AssignmentForm, ChatPiece, ChatReply, Chat } from "../../client/lectern";
import { fill, h, newId, say } from "./dom";
import { t, type Word } from "./i18n";
import { errorNotice } from "./notices";
import type { Session } from "./session";

const PROBLEMS: Record<string, Word> = {
  "functions/resource-exhausted": "explainBusy",
  "functions/unavailable": "explainUnavailable",
  "functions/permission-denied": "explainOff",
  "functions/deadline-exceeded": "explainUnavailable",
};

const PREPARED: Record<NonNullable<ChatReply["degraded"]>, Word> = {
  budget: "preparedBudget",
  outage: "preparedOutage",
};

/** A button, and below it the explanation; each press about the same attempt goes a rung further. */
export class Explanation {
  readonly element: HTMLElement;
  readonly #session: Session;
  readonly #about: { assignmentId: string; questionId: string };
  readonly #button: HTMLButtonElement;
  // Heard piece by piece: what was there is not read again.
  readonly #text = h("p", { class: "tutor-text", dir: "auto" });
  readonly #region = h("div", { class: "tutor-region", "aria-live": "polite", "aria-atomic": "false" }, this.#text);
  readonly #note = h("p", { class: "hint tutor-note" });
  #turn = 0;

  constructor(session: Session, about: { assignmentId: string; questionId: string }) {
    this.#session = session;
    this.#about = about;
    this.#button = h("button", { type: "button", class: "explain", onclick: () => void this.#ask() }, t("explain"));
    this.element = h("div", { class: "tutor", "data-testid": "tutor" }, this.#button, this.#region, this.#note);
  }

  close(): void {
    this.#turn += 1;
  }

  async #ask(): Promise<void> {
    this.#turn += 1;
    const mine = this.#turn;
    this.#button.disabled = true;
    this.#region.setAttribute("aria-busy", "true");
    this.#text.removeAttribute("lang");
    this.#text.dir = "auto";
    this.element.removeAttribute("data-prepared");
    fill(this.#text);
    say(this.#note, t("explaining"));
    try {
      const { stream, data } = await this.#session.stream<Chat, ChatReply, ChatPiece>("chat", {
        ...this.#about,
        intent: "explain",
      });
      data.catch(() => undefined);
      for await (const { text } of stream) {
        if (mine !== this.#turn) return;
        this.#text.append(h("span", {}, text));
      }
      const reply = await data;
      if (mine !== this.#turn) return;
      this.#text.lang = reply.language;
      this.#text.dir = reply.dir;
      const prepared = Boolean(reply.degraded);
      const notes = [
        ...(reply.degraded ? [t(PREPARED[reply.degraded])] : []),
        ...(reply.told || prepared ? [] : [t("explainRung", { rung: reply.rung })]),
        ...(reply.canned ? [t("cannedReply")] : []),
      ];
      say(this.#note, notes.join(" "));
      this.element.toggleAttribute("data-prepared", prepared);
      // A prepared hint is no rung further: what the button says is what it said.
      if (!prepared || reply.told) say(this.#button, t(reply.told ? "explainAgain" : "explainMore"));
    } catch (error) {
      if (mine !== this.#turn) return;
      const code = error instanceof Error && "code" in error ? String(error.code) : "";
      say(this.#note, t(PROBLEMS[code] ?? "explainFailed"));
    } finally {
      if (mine === this.#turn) {
        this.#button.disabled = false;
        this.#region.removeAttribute("aria-busy");
      }
    }
  }
}

/** A teacher's switch: whether learners may ask for hints and explanations about this assignment. */
export function tutorSwitch(session: Session, { assignmentId, tutor }: AssignmentForm): HTMLElement {
  const id = newId("tutor-on");
  const problem = h("div", {});
  const state = h("p", { class: "hint", role: "status" }, t(tutor ? "tutorOn" : "tutorOff"));
  const box = h("input", { id, type: "checkbox", checked: tutor, onchange: () => void change() });
  const change = async (): Promise<void> => {
    const on = box.checked;
    box.disabled = true;
    fill(problem);
    try {
      await session.functions.switchTutor({ assignmentId, on });
      say(state, t(on ? "tutorOn" : "tutorOff"));
    } catch (error) {
      box.checked = !on;
      fill(problem, errorNotice(error, null));
    } finally {
      box.disabled = false;
    }
  };
  return h(
    "section",
    { class: "panel", "data-testid": "tutor-switch" },
    h("h2", {}, t("tutor")),
    h("div", { class: "row" }, box, h("label", { for: id }, t("tutorAllow"))),
    state,
    problem,
  );
}
