/** Evaluations that may wait: all answers to a question, for less, within a day; and how far they are. */

import type { AssignmentForm, EvaluationQueueState, GivenUp, QueuedEvaluations } from "../../client/lectern";
import { fill, h, newId, say } from "./dom";
import { dollars, number, t, type Word } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import { EVALUATED, tile } from "./pilots";
import type { Session } from "./session";

const REASONS: Record<GivenUp["reason"], Word> = {
  failed: "queueFailed",
  unusable: "queueUnusable",
  notOnRecord: "queueNotOnRecord",
  changed: "queueChanged",
};

/** The panel, or null where no question of the assignment is evaluated by a rubric. */
export function waitingPanel(session: Session, assignment: AssignmentForm): HTMLElement | null {
  const { assignmentId } = assignment;
  const questions = assignment.questions.filter(({ type }) => EVALUATED.has(type));
  if (questions.length === 0) return null;

  const question = h(
    "select",
    { id: newId("queue-question") },
    ...questions.map(({ questionId, name }) => h("option", { value: questionId }, name)),
  );
  const body = h("div", { class: "pilot-body" });
  const waiting = h("div", { class: "pilot-results" });
  const status = h("p", { class: "hint", role: "status" });
  // What is on its way is shown only while it is still about the question that is chosen.
  let turn = 0;

  const preview = async (event: Event): Promise<void> => {
    event.preventDefault();
    const mine = ++turn;
    say(status, "");
    fill(body, loadingNotice());
    try {
      const found = await session.functions.queueEvaluations({
        assignmentId,
        questionId: question.value,
        dryRun: true,
      });
      if (mine !== turn) return;
      showPreview(found);
      await look(mine);
    } catch (error) {
      if (mine === turn) fill(body, errorNotice(error, () => void preview(event)));
    }
  };

  const showPreview = (found: QueuedEvaluations): void => {
    if (found.answers === 0) {
      fill(body, emptyNotice(t("pilotNoAnswers")));
      return;
    }
    if (found.fresh === 0) {
      fill(body, emptyNotice(t("queueNothing")));
      return;
    }
    const start = h("button", { type: "button", class: "primary", onclick: () => void queue(start) }, t("queueStart"));
    fill(
      body,
      h("p", {}, t("queueFresh", { fresh: found.fresh, answers: found.answers })),
      h("p", { class: "hint" }, t("pilotModel", { model: found.model, date: found.pricesAsOf })),
      h("p", { class: "hint" }, found.percent < 100 ? t("queuePercent", { percent: found.percent }) : t("queueAlone")),
      found.more && h("p", { class: "hint" }, t("queueMore")),
      h(
        "dl",
        { class: "tiles" },
        tile("pilotEstimate", "queue-estimate", dollars(found.estimatedNanos), found.worstNanos),
        tile("pilotBudgetLeft", "queue-left", dollars(found.remainingNanos), null),
      ),
      h("div", { class: "row" }, start),
    );
  };

  const queue = async (start: HTMLButtonElement): Promise<void> => {
    const mine = ++turn;
    start.disabled = true;
    try {
      const made = await session.functions.queueEvaluations({ assignmentId, questionId: question.value });
      if (mine !== turn) return;
      fill(body);
      say(status, t("queueDone", { count: made.queued }));
      await look(mine);
    } catch (error) {
      if (mine === turn) fill(body, errorNotice(error, () => void queue(start)));
    }
  };

  const look = async (mine: number): Promise<void> => {
    try {
      const found = await session.functions.getEvaluationQueue({ assignmentId, questionId: question.value });
      if (mine === turn) fill(waiting, ...stateOf(found, () => void look(mine)));
    } catch (error) {
      if (mine === turn) fill(waiting, errorNotice(error, () => void look(mine)));
    }
  };

  question.addEventListener("change", () => {
    turn += 1;
    say(status, "");
    fill(body);
    fill(waiting);
  });
  return h(
    "section",
    { class: "panel", "data-testid": "evaluation-queue" },
    h("h2", {}, t("queue")),
    h("p", { class: "hint" }, t("queueNote")),
    h(
      "form",
      { onsubmit: (event) => void preview(event) },
      h(
        "div",
        { class: "row fields" },
        h("div", { class: "field" }, h("label", { for: question.id }, t("question")), question),
        h("button", { type: "submit" }, t("queuePreview")),
      ),
    ),
    status,
    body,
    waiting,
  );
}

/** How far the queue is, and what was given up. */
function stateOf(found: EvaluationQueueState, again: () => void): (HTMLElement | false)[] {
  return [
    h(
      "dl",
      { class: "tiles" },
      tile("queueWaiting", "queue-waiting", number(found.queued), null),
      tile("queueBatched", "queue-batched", number(found.batched), null),
      tile("queueGivenUp", "queue-given-up", number(found.givenUp), null),
    ),
    found.rows.length > 0 &&
      h(
        "ul",
        {},
        ...found.rows.map(({ studentId, reason }) =>
          h("li", {}, h("bdi", { class: "mono" }, studentId), ": ", t(REASONS[reason])),
        ),
      ),
    h("div", { class: "row" }, h("button", { type: "button", onclick: again }, t("queueLook"))),
  ];
}
