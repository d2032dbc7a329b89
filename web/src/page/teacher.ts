/** A teacher's assignment: what arrives as it arrives, item analysis, the gradebook, the audit. */

import { LecternError, type AssignmentForm, type Gradebook, type ImportAssignment, type Question } from "../../client/lectern";
import type { AssignmentFigures, LiveItemFigures, OptionCounts } from "../contract";
import { fill, h, newId, say } from "./dom";
import { Axis, Bar, countsOf, FreshnessStamp, shownShare, shownSigned, Tile } from "./figures";
import { counted, number, percent, t } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import { pilotPanel } from "./pilots";
import { plainOf, richInline } from "./rich";
import { reviewPanel } from "./reviews";
import type { Session } from "./session";
import { spendPanel } from "./spending";
import { tutorSwitch } from "./tutor";
import type { View } from "./view";
import { waitingPanel } from "./waiting";

const PAGE_SIZE = 20;
const ANNOUNCE_EVERY_MS = 10_000;

export function teacherView(session: Session, assignment: AssignmentForm): View {
  const live = new LivePanel(assignment);
  const failed = (error: Error): void => live.failed(error);
  const stops = [
    session.lectern.onAssignment(assignment.assignmentId, (figures) => live.show(figures), failed),
    session.lectern.onOptionCounts(assignment.assignmentId, (counts) => live.showOptions(counts), failed),
  ];
  const element = h(
    "div",
    { class: "teacher" },
    h("h1", { tabindex: "-1" }, h("bdi", {}, assignment.title)),
    live.element,
    gradebookPanel(session, assignment.assignmentId),
    reviewPanel(session, assignment),
    pilotPanel(session, assignment),
    waitingPanel(session, assignment),
    tutorSwitch(session, assignment),
    spendPanel(session, assignment.courseId),
    auditPanel(session, assignment.assignmentId),
  );
  return {
    element,
    close: () => {
      for (const stop of stops) stop();
      live.close();
    },
  };
}

class LivePanel {
  readonly element: HTMLElement;
  readonly #stamp = new FreshnessStamp();
  readonly #received = new Tile("received");
  readonly #processed = new Tile("processed");
  readonly #pending = new Tile("pending", "tile-pending");
  readonly #students = new Tile("students");
  readonly #alpha = new Tile("alpha");
  readonly #note = h("p", { class: "notice empty" }, t("noFiguresYet"));
  readonly #spoken = h("p", { class: "visually-hidden", role: "status" });
  readonly #rows: QuestionRow[];
  #spokenAt = 0;

  constructor(assignment: AssignmentForm) {
    this.#received.element.dataset.testid = "received";
    this.#processed.element.dataset.testid = "processed";
    this.#pending.element.dataset.testid = "pending";
    this.#rows = assignment.questions
      .filter((question) => question.type !== "description")
      .map((question, index) => new QuestionRow(question, index + 1));
    const heading = newId("items");
    this.element = h(
      "section",
      { class: "live", "aria-labelledby": heading },
      h("div", { class: "live-head" }, h("h2", { id: heading }, t("classNow")), this.#stamp.element),
      h(
        "dl",
        { class: "tiles" },
        this.#received.element,
        this.#processed.element,
        this.#pending.element,
        this.#students.element,
        this.#alpha.element,
      ),
      this.#spoken,
      this.#note,
      h("h3", {}, t("perQuestion")),
      h(
        "div",
        { class: "items-head", "aria-hidden": "true" },
        h("span", {}, t("question")),
        h("span", {}, t("facility"), h("small", {}, t("facilityHelp"))),
        h("span", {}, t("discrimination"), h("small", {}, t("discriminationHelp"))),
      ),
      h("ol", { class: "items" }, ...this.#rows.map((row) => row.element)),
      this.#table(),
    );
  }

  show(figures: AssignmentFigures): void {
    this.#stamp.show(figures);
    const counts = countsOf(figures);
    this.#received.show(counts.received);
    this.#processed.show(counts.processed);
    this.#pending.show(counts.pending);
    this.#pending.element.classList.toggle("busy", figures.asOf.pending > 0);
    this.#students.show(number(figures.stats.students));
    const { alpha, students } = figures.stats.reliability;
    this.#alpha.show(shownSigned(alpha), alpha === null ? "" : t("alphaNote", { count: students }));
    this.#note.hidden = figures.asOf.events + figures.asOf.pending > 0;
    for (const row of this.#rows) row.show(figures.stats.questions[row.questionId] ?? null);
    if (Date.now() - this.#spokenAt >= ANNOUNCE_EVERY_MS) {
      this.#spokenAt = Date.now();
      say(this.#spoken, t("liveRegion", counts));
    }
  }

  showOptions(counts: OptionCounts): void {
    for (const row of this.#rows) row.showOptions(counts.questions[row.questionId] ?? {});
  }

  failed(error: Error): void {
    this.#note.hidden = false;
    fill(this.#note, errorNotice(error, null));
  }

  close(): void {
    this.#stamp.close();
  }

  #table(): HTMLElement {
    const head = [t("question"), t("answered"), t("correct"), t("facility"), t("discrimination")];
    return h(
      "details",
      { class: "as-table" },
      h("summary", {}, t("showTable")),
      h(
        "div",
        { class: "table-scroll", tabindex: 0, role: "region", "aria-label": t("perQuestion") },
        h(
          "table",
          { class: "figures" },
          h("thead", {}, h("tr", {}, ...head.map((each) => h("th", { scope: "col" }, each)))),
          h("tbody", {}, ...this.#rows.map((row) => row.tableRow)),
        ),
      ),
    );
  }
}

/** One question's figures, as a line of the chart and as a line of the table. */
class QuestionRow {
  readonly questionId: string;
  readonly element: HTMLElement;
  readonly tableRow: HTMLTableRowElement;
  readonly #facility = new Bar();
  readonly #facilityValue = h("span", { class: "value" }, t("none"));
  readonly #discrimination = new Axis();
  readonly #discriminationValue = h("span", { class: "value" }, t("none"));
  readonly #answered = h("span", { class: "item-answered" });
  readonly #options = new Map<string, { bar: Bar; count: HTMLElement }>();
  readonly #cells = [0, 1, 2, 3].map(() => h("td", {}, t("none")));
  #allAnswers = 0;
  #chosen: Readonly<Record<string, number>> = {};

  constructor(question: Question, position: number) {
    this.questionId = question.questionId;
    const name = plainOf(question.text) || question.name;
    this.#facility.show(null, t("none"));
    this.#discrimination.show(null, t("none"));
    this.element = h(
      "li",
      { class: "item", "data-question": question.questionId },
      h(
        "div",
        { class: "item-text" },
        h("span", { class: "item-number" }, number(position)),
        h("span", { class: "item-name" }, h("bdi", {}, name)),
        this.#answered,
      ),
      h("div", { class: "measure" }, this.#facility.element, this.#facilityValue),
      h("div", { class: "measure" }, this.#discrimination.element, this.#discriminationValue),
      this.#distractors(question),
    );
    this.tableRow = h(
      "tr",
      {},
      h("th", { scope: "row" }, `${number(position)}. `, h("bdi", {}, name)),
      ...this.#cells,
    );
  }

  show(figures: LiveItemFigures | null): void {
    const { answered = 0, correct = 0, facility = null, discrimination = null } = figures ?? {};
    const share = shownShare(facility);
    const power = shownSigned(discrimination);
    this.#facility.show(facility, `${t("facility")}: ${share}`);
    say(this.#facilityValue, share);
    this.#discrimination.show(discrimination, `${t("discrimination")}: ${power}`);
    say(this.#discriminationValue, power);
    say(this.#answered, counted("answersGiven", answered));
    this.#allAnswers = answered;
    this.#drawOptions();
    const texts = [number(answered), number(correct), share, power];
    for (const [index, cell] of this.#cells.entries()) say(cell, texts[index] ?? "");
  }

  showOptions(chosen: Readonly<Record<string, number>>): void {
    this.#chosen = chosen;
    this.#drawOptions();
  }

  /** Answers and choices come in two documents, so for a moment there may be more choices than answers. */
  #drawOptions(): void {
    for (const [optionId, { bar, count }] of this.#options) {
      const chosen = this.#chosen[optionId] ?? 0;
      const ofAll = this.#allAnswers === 0 ? 0 : Math.min(1, chosen / this.#allAnswers);
      bar.show(ofAll, `${number(chosen)} (${percent(ofAll)})`);
      say(count, number(chosen));
    }
  }

  #distractors(question: Question): HTMLElement | null {
    const counted = countedParts(question);
    if (counted.length === 0) return null;
    const rows = counted.map(({ id, label }) => {
      const bar = new Bar();
      const count = h("span", { class: "value" }, number(0));
      bar.show(0, number(0));
      this.#options.set(id, { bar, count });
      return h("li", {}, h("span", { class: "option-text" }, label), bar.element, count);
    });
    const name = t(question.type === "matching" ? "rightPairs" : "distractors");
    return h("details", { class: "distractors", open: true }, h("summary", {}, name), h("ul", {}, ...rows));
  }
}

/** What the figures count one by one: options, truth values, or the stems that were matched rightly. */
function countedParts({ type, options = [], stems = [] }: Question): { id: string; label: Node }[] {
  if (type === "trueFalse") {
    return [
      { id: "true", label: document.createTextNode(t("trueLabel")) },
      { id: "false", label: document.createTextNode(t("falseLabel")) },
    ];
  }
  if (type === "matching") return stems.map(({ stemId, text }) => ({ id: stemId, label: richInline(text) }));
  return options.map(({ optionId, text }) => ({ id: optionId, label: richInline(text) }));
}

function gradebookPanel(session: Session, assignmentId: string): HTMLElement {
  const body = h("div", { class: "gradebook-body" });
  let pageNumber = 0;

  const load = async (cursor: string | null): Promise<void> => {
    pageNumber = cursor === null ? 1 : pageNumber + 1;
    fill(body, loadingNotice());
    try {
      show(await session.functions.getGradebook({ assignmentId, pageSize: PAGE_SIZE, ...(cursor === null ? {} : { cursor }) }));
    } catch (error) {
      fill(
        body,
        errorNotice(error, () => void load(null)),
      );
    }
  };

  const show = (page: Gradebook): void => {
    if (page.rows.length === 0 && pageNumber === 1) {
      fill(body, emptyNotice(t("noRows")), h("button", { type: "button", onclick: () => void load(null) }, t("refresh")));
      return;
    }
    const head = [t("learner"), t("score"), t("answered"), t("attempts")];
    const next = page.nextCursor;
    const caption = `${t("gradebook")}, ${t("page", { number: pageNumber })}`;
    fill(
      body,
      h(
        "div",
        { class: "table-scroll", tabindex: 0, role: "region", "aria-label": caption },
        h(
          "table",
          { class: "figures" },
          h("caption", { class: "visually-hidden" }, caption),
          h("thead", {}, h("tr", {}, ...head.map((each) => h("th", { scope: "col" }, each)))),
          h(
            "tbody",
            {},
            ...page.rows.map((row) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, h("bdi", { class: "mono" }, row.studentId)),
                h("td", {}, t("scoreOf", { score: number(row.score, 2), max: number(row.maxScore, 2) })),
                h("td", {}, number(row.answered)),
                h("td", {}, number(row.attempts)),
              ),
            ),
          ),
        ),
      ),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", onclick: () => void load(null) }, pageNumber > 1 ? t("firstPage") : t("refresh")),
        next !== null && h("button", { type: "button", onclick: () => void load(next) }, t("nextPage")),
        h("span", { class: "hint", role: "status" }, t("page", { number: pageNumber })),
      ),
    );
  };

  fill(body, h("button", { type: "button", onclick: () => void load(null) }, t("showGradebook")));
  return h("section", { class: "panel", "data-testid": "gradebook" }, h("h2", {}, t("gradebook")), body);
}

function auditPanel(session: Session, assignmentId: string): HTMLElement {
  const outcome = h("p", { class: "audit-outcome", role: "status" });
  const verify = async (): Promise<void> => {
    button.disabled = true;
    say(outcome, t("verifying"));
    try {
      const { identical, digest, events } = await session.functions.rebuildAssignment({ assignmentId, mode: "compare" });
      outcome.dataset.identical = String(identical);
      say(outcome, t(identical ? "verified" : "notVerified", { events, digest: digest.slice(0, 16) }));
    } catch (error) {
      say(outcome, error instanceof LecternError ? error.message : t("failedToLoad"));
    } finally {
      button.disabled = false;
    }
  };
  const button = h("button", { type: "button", onclick: () => void verify() }, t("verify"));
  return h("section", { class: "panel audit row" }, button, outcome);
}

const FORMATS = [
  ["gift", "GIFT"],
  ["csv", "CSV"],
  ["json", "JSON"],
] as const;

/** Where in a source something is, and what. */
interface Place {
  line?: number;
  column?: number;
  message?: string;
}

/** Paste a question set; *imported* hears the new assignment's id. */
export function importPanel(session: Session, imported: (assignmentId: string) => void): HTMLElement {
  const titleId = newId("import");
  const formatId = newId("import");
  const sourceId = newId("import");
  const title = h("input", { id: titleId, type: "text", required: true, maxlength: 200, dir: "auto", autocomplete: "off" });
  const format = h("select", { id: formatId }, ...FORMATS.map(([value, name]) => h("option", { value }, name)));
  const source = h("textarea", {
    id: sourceId,
    rows: 8,
    required: true,
    dir: "auto",
    spellcheck: "false",
    class: "mono",
    placeholder: t("importPlaceholder"),
  });
  const outcome = h("div", { class: "import-outcome", role: "status" });
  const button = h("button", { type: "submit", class: "primary" }, t("importButton"));

  const run = async (event: Event): Promise<void> => {
    event.preventDefault();
    button.disabled = true;
    fill(outcome, h("p", {}, t("importing")));
    try {
      const reply = await session.functions.importAssignment({
        courseId: session.config.demoCourseId,
        title: title.value.trim(),
        format: format.value as ImportAssignment["format"],
        source: source.value,
      });
      title.value = "";
      source.value = "";
      const { skipped } = reply;
      fill(
        outcome,
        h("p", { class: "good" }, counted("imported", reply.questions.length)),
        skipped.length > 0 && h("p", {}, t("skippedTitle")),
        skipped.length > 0 &&
          placed(skipped.map(({ line, column, reason }) => ({ line, column, message: reason }))),
        h("button", { type: "button", onclick: () => (location.hash = `#/a/${reply.assignmentId}`) }, t("openAssignment")),
      );
      imported(reply.assignmentId);
    } catch (error) {
      const details = error instanceof LecternError ? error.details : [];
      const general = error instanceof Error && details.length === 0 ? error.message : "";
      fill(
        outcome,
        h("p", { class: "bad" }, t("importFailed")),
        general !== "" && h("p", {}, h("bdi", {}, general)),
        details.length > 0 && placed(details),
      );
    } finally {
      button.disabled = false;
    }
  };

  const placed = (places: readonly Place[]): HTMLElement =>
    h(
      "ul",
      { class: "places" },
      ...places.map(({ line, column, message }) =>
        h(
          "li",
          {},
          line !== undefined &&
            h("button", { type: "button", class: "place", onclick: () => select(line, column ?? 1) }, t("place", { line, column: column ?? 1 })),
          " ",
          h("bdi", {}, message ?? ""),
        ),
      ),
    );

  /** Put the cursor where the problem is. */
  const select = (line: number, column: number): void => {
    const before = source.value.split("\n").slice(0, line - 1);
    const start = before.reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
    source.focus();
    source.setSelectionRange(start, start + 1);
  };

  return h(
    "details",
    { class: "panel import", "data-testid": "import" },
    h("summary", {}, h("h2", {}, t("importTitle"))),
    h(
      "form",
      { onsubmit: (event) => void run(event) },
      h(
        "div",
        { class: "row fields" },
        h("div", { class: "field grow" }, h("label", { for: titleId }, t("importName")), title),
        h("div", { class: "field" }, h("label", { for: formatId }, t("importFormat")), format),
      ),
      h("div", { class: "field" }, h("label", { for: sourceId }, t("importSource")), source),
      h("div", { class: "row" }, button),
      outcome,
    ),
  );
}
