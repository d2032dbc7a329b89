/** Trying a rubric on a sample of recorded answers: what it would cost first, then what was found. */

import { LecternError, type AssignmentForm, type PilotPreview, type PilotReport } from "../../client/lectern";
import { fill, h, newId, say } from "./dom";
import { Tile } from "./figures";
import { dollars, number, percent, t, type Word } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import { RubricDraft } from "./rubric";
import type { Session } from "./session";

const SAMPLE_SIZES = [5, 10, 25] as const;
const USUAL_SIZE = 10;
export const EVALUATED: ReadonlySet<string> = new Set(["essay", "shortText"]);

const ENDED: Record<Exclude<PilotReport["ended"], "time">, Word> = {
  done: "pilotDone",
  budget: "pilotBudget",
  outage: "pilotOutage",
};

/** The panel, or null where no question of the assignment is evaluated by a rubric. */
export function pilotPanel(session: Session, assignment: AssignmentForm): HTMLElement | null {
  const { assignmentId } = assignment;
  const questions = assignment.questions.filter(({ type }) => EVALUATED.has(type));
  if (questions.length === 0) return null;

  const question = h(
    "select",
    { id: newId("pilot-question") },
    ...questions.map(({ questionId, name }) => h("option", { value: questionId }, name)),
  );
  const size = h(
    "select",
    { id: newId("pilot-size") },
    ...SAMPLE_SIZES.map((each) => h("option", { value: each, selected: each === USUAL_SIZE }, number(each))),
  );
  const body = h("div", { class: "pilot-body" });
  const status = h("p", { class: "hint", role: "status" });
  // What is on its way is shown only while it is still what was asked for.
  let turn = 0;

  const preview = async (event: Event): Promise<void> => {
    event.preventDefault();
    const mine = ++turn;
    say(status, "");
    fill(body, loadingNotice());
    try {
      const found = await session.functions.previewPilot({
        assignmentId,
        questionId: question.value,
        sampleSize: Number(size.value),
        rubric: draft.criteria,
      });
      if (mine === turn) showPreview(found);
    } catch (error) {
      if (mine === turn) fill(body, errorNotice(error, () => void preview(event)));
    }
  };

  const forget = (): void => {
    turn += 1;
    say(status, "");
    fill(body);
  };
  question.addEventListener("change", forget);
  size.addEventListener("change", forget);
  const draft = new RubricDraft(forget);

  const showPreview = (found: PilotPreview): void => {
    if (found.answers === 0) {
      fill(body, emptyNotice(t("pilotNoAnswers")));
      return;
    }
    const costs = h(
      "dl",
      { class: "tiles" },
      tile("pilotEstimate", "pilot-estimate", dollars(found.estimatedNanos), found.worstNanos),
      tile("pilotForAll", "pilot-all", dollars(found.estimatedNanosForAll), found.worstNanosForAll),
      tile("pilotBudgetLeft", "pilot-left", dollars(found.remainingNanos), null),
    );
    const start = h("button", { type: "button", class: "primary", onclick: () => void run(found, start) }, t("pilotRun"));
    fill(
      body,
      h("p", {}, t("pilotSample", { sample: found.sample.length, answers: found.answers })),
      h("p", { class: "hint" }, t("pilotModel", { model: found.model, date: found.pricesAsOf })),
      costs,
      h("div", { class: "row" }, start),
    );
  };

  const run = async (found: PilotPreview, start: HTMLButtonElement): Promise<void> => {
    const mine = ++turn;
    start.disabled = true;
    const results = h("div", { class: "pilot-results" });
    body.append(results);
    try {
      for (;;) {
        say(status, t("pilotRunning"));
        const report = await session.functions.runPilot({ assignmentId, previewId: found.previewId });
        if (mine !== turn) return;
        showReport(results, report);
        if (report.ended !== "time") {
          say(status, t(ENDED[report.ended], { left: report.left }));
          start.disabled = report.ended === "done";
          return;
        }
      }
    } catch (error) {
      if (mine !== turn) return;
      say(status, "");
      const changed = error instanceof LecternError && error.code === "ALREADY_EXISTS";
      results.append(errorNotice(error, changed ? null : () => void again(results, found, start)));
    }
  };

  const again = async (results: HTMLElement, found: PilotPreview, start: HTMLButtonElement): Promise<void> => {
    results.remove();
    await run(found, start);
  };

  fill(body);
  return h(
    "section",
    { class: "panel", "data-testid": "pilot" },
    h("h2", {}, t("pilot")),
    h("p", { class: "hint" }, t("pilotNote")),
    h(
      "form",
      { onsubmit: (event) => void preview(event) },
      h(
        "div",
        { class: "row fields" },
        h("div", { class: "field" }, h("label", { for: question.id }, t("question")), question),
        h("div", { class: "field" }, h("label", { for: size.id }, t("pilotSize")), size),
        h("button", { type: "submit" }, t("pilotPreview")),
      ),
      draft.element,
    ),
    status,
    body,
  );
}

export function tile(name: Word, testId: string, value: string, worstNanos: number | null): HTMLElement {
  const made = new Tile(name);
  made.element.dataset.testid = testId;
  made.show(value, worstNanos === null ? "" : t("pilotAtMost", { amount: dollars(worstNanos) }));
  return made.element;
}

function showReport(results: HTMLElement, report: PilotReport): void {
  const { total } = report.agreement;
  const kappa = total.kappaMillionths === null ? t("none") : number(total.kappaMillionths / 1e6, 2);
  fill(
    results,
    h("p", {}, t("pilotCost", { count: report.rows.length, amount: dollars(report.nanos) })),
    total.count > 0 &&
      h(
        "p",
        { class: "hint" },
        t("pilotAgreement", { count: total.count, share: percent((total.exactPerMille ?? 0) / 1000), kappa }),
      ),
    table(
      t("pilotCriteria"),
      [t("pilotCriterion"), t("pilotPoints")],
      report.criteria.map(({ title, counts }) => [
        h("bdi", {}, title),
        h("span", { class: "row" }, ...counts.map((count, points) => pair(points, count))),
      ]),
    ),
    table(
      t("pilotAnswers"),
      [t("learner"), t("score"), t("pilotDecided"), t("pilotFeedback")],
      report.rows.map(({ evaluation, decision }) => [
        h("bdi", { class: "mono" }, evaluation.studentId),
        t("scoreOf", { score: number(evaluation.points), max: number(evaluation.maxPoints) }),
        decision === null ? t("none") : t("scoreOf", { score: number(decision.points), max: number(decision.maxPoints) }),
        h("span", { dir: evaluation.dir, lang: evaluation.language }, evaluation.feedback),
      ]),
    ),
    report.rows.some(({ evaluation }) => evaluation.flags.includes("canned")) &&
      h("p", { class: "hint" }, t("cannedReply")),
  );
}

/** So many points, given so often; a pair of figures keeps its order on a page of either direction. */
function pair(points: number, count: number): HTMLElement {
  return h("bdi", { dir: "ltr", class: "value" }, `${number(points)}: ${number(count)}`);
}

function table(caption: string, head: readonly string[], rows: readonly (readonly (Node | string)[])[]): HTMLElement {
  return h(
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
        ...rows.map(([first, ...rest]) =>
          h("tr", {}, h("th", { scope: "row" }, first ?? ""), ...rest.map((each) => h("td", {}, each))),
        ),
      ),
    ),
  );
}
