/** A teacher's review queue: what a model suggests about written answers, to accept or to look at. */

import type { AssignmentForm, Evaluation, EvaluationRow } from "../../client/lectern";
import { fill, h, say } from "./dom";
import { number, percent, t, type Word } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import type { Session } from "./session";

const PAGE_SIZE = 10;

const FLAGS: Record<Evaluation["flags"][number], Word> = {
  suspicious: "flagSuspicious",
  redacted: "flagRedacted",
  unsupported: "flagUnsupported",
  scoreMismatch: "flagMismatch",
  answerWithheld: "flagWithheld",
  canned: "cannedReply",
  smallModel: "flagSmallModel",
};

export function reviewPanel(session: Session, assignment: AssignmentForm): HTMLElement {
  const { assignmentId } = assignment;
  const names = new Map(assignment.questions.map((each) => [each.questionId, each.name]));
  const body = h("div", { class: "review-body" });
  const agreement = h("p", { class: "hint", role: "status" });

  const load = async (cursor: string | null): Promise<void> => {
    fill(body, loadingNotice());
    try {
      const page = await session.functions.listEvaluations({
        assignmentId,
        pageSize: PAGE_SIZE,
        ...(cursor === null ? {} : { cursor }),
      });
      show(page.rows, page.nextCursor);
      await showAgreement();
    } catch (error) {
      fill(
        body,
        errorNotice(error, () => void load(null)),
      );
    }
  };

  const showAgreement = async (): Promise<void> => {
    const { total } = await session.functions.getAgreement({ assignmentId });
    if (total.count === 0) return;
    const kappa = total.kappaMillionths === null ? t("none") : number(total.kappaMillionths / 1e6, 2);
    say(agreement, t("agreement", { count: total.count, share: percent((total.exactPerMille ?? 0) / 1000), kappa }));
  };

  const show = (rows: readonly EvaluationRow[], next: string | null): void => {
    const refresh = h("button", { type: "button", onclick: () => void load(null) }, t("refresh"));
    if (rows.length === 0) {
      fill(body, emptyNotice(t("noReviews")), refresh);
      return;
    }
    fill(
      body,
      h("ol", { class: "reviews" }, ...rows.map(({ evaluation }) => row(evaluation))),
      h(
        "div",
        { class: "row" },
        refresh,
        next !== null && h("button", { type: "button", onclick: () => void load(next) }, t("nextPage")),
      ),
    );
  };

  const row = (evaluation: Evaluation): HTMLElement => {
    const outcome = h("span", { class: "review-outcome", role: "status" });
    const accept = h("button", { type: "button", class: "primary", onclick: () => void decide() }, t("accept"));
    const decide = async (): Promise<void> => {
      accept.disabled = true;
      try {
        await session.functions.acceptEvaluation({ assignmentId, evaluationId: evaluation.evaluationId });
        accept.remove();
        say(outcome, t("accepted"));
        await showAgreement();
      } catch (error) {
        accept.disabled = false;
        say(outcome, error instanceof Error ? error.message : t("failedToLoad"));
      }
    };
    const flags = evaluation.flags.map((flag) => h("span", { class: "badge" }, t(FLAGS[flag])));
    return h(
      "li",
      { class: "review", "data-evaluation": evaluation.evaluationId },
      h(
        "div",
        { class: "review-head" },
        h("bdi", { class: "mono" }, evaluation.studentId),
        h("bdi", {}, names.get(evaluation.questionId) ?? ""),
        h(
          "strong",
          {},
          t("scoreOf", { score: number(evaluation.points), max: number(evaluation.maxPoints) }),
        ),
        h("span", { class: "hint" }, t("confidence", { percent: percent(evaluation.confidence / 100) })),
        ...flags,
      ),
      h("p", { class: "review-feedback", dir: evaluation.dir, lang: evaluation.language }, evaluation.feedback),
      h(
        "ul",
        { class: "review-criteria" },
        ...evaluation.criteria.map(({ title, points, maxPoints, evidence, comment }) =>
          h(
            "li",
            {},
            h("bdi", {}, title),
            " ",
            h("span", { class: "value" }, t("scoreOf", { score: number(points), max: number(maxPoints) })),
            h("span", { dir: "auto" }, ` ${comment}`),
            ...(evidence ?? []).map((each) => h("q", { class: "evidence", dir: "auto" }, each)),
          ),
        ),
      ),
      h("div", { class: "row" }, accept, outcome),
    );
  };

  fill(body, h("button", { type: "button", onclick: () => void load(null) }, t("showReviews")));
  return h(
    "section",
    { class: "panel reviews-panel", "data-testid": "reviews" },
    h("h2", {}, t("reviews")),
    h("p", { class: "hint" }, t("reviewsNote")),
    agreement,
    body,
  );
}
