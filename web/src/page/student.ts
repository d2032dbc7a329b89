/** A student's assignment: questions to answer, each answer's fate, own results, the class. */

import type { AnswerResult, AssignmentForm, MyResults, Question } from "../../client/lectern";
import type { Submission, SubmissionState } from "../answers";
import type { Answer, AssignmentFigures } from "../contract";
import { fill, h, say } from "./dom";
import { Bar, FreshnessStamp, shownShare, Tile } from "./figures";
import { number, percent, t, timeOfDay, type Word } from "./i18n";
import { Incomplete, questionForm, type QuestionForm } from "./questions";
import { richBlock, plainOf } from "./rich";
import type { Session } from "./session";
import { Explanation } from "./tutor";
import type { View } from "./view";

const RESULTS_EVERY_MS = 1_500;
const RESULTS_TRIES = 12;

/** What was entered and not yet submitted, by question; survives a change of language. */
const drafts = new Map<string, Answer>();

export function studentView(session: Session, uid: string, assignment: AssignmentForm): View {
  const { lectern } = session;
  const { assignmentId, tutor } = assignment;
  const cards = new Map<string, Card>();
  let position = 0;
  const list = h("ol", { class: "questions" });
  for (const question of assignment.questions) {
    if (question.type !== "description") position += 1;
    const form = questionForm(question, position);
    if (form === null) {
      list.append(h("li", { class: "card description" }, richBlock(question.text)));
      continue;
    }
    const card = new Card(question, form, {
      draftKey: `${uid}/${assignmentId}/${question.questionId}`,
      submit: (answer) => void lectern.submitAnswerEvent(assignmentId, question.questionId, answer),
      discard: (submissionId) => void lectern.discard(submissionId),
      explanation: () => (tutor ? new Explanation(session, { assignmentId, questionId: question.questionId }) : null),
    });
    cards.set(question.questionId, card);
    list.append(card.element);
  }

  const progress = h("p", { class: "progress-text", role: "status" });
  const progressBar = new Bar();
  progressBar.element.setAttribute("aria-hidden", "true");
  const classPanel = new ClassPanel(assignment);
  const results = new ResultsPanel(session, assignmentId, (reply) => {
    for (const each of reply.answers) cards.get(each.questionId)?.graded(each);
    showProgress();
  });

  const showProgress = (): void => {
    const answered = [...cards.values()].filter((card) => card.isAnswered()).length;
    say(progress, t("answeredOf", { answered, count: cards.size }));
    progressBar.show(cards.size === 0 ? 0 : answered / cards.size, "");
  };

  const acknowledged = new Set<string>();
  const stopSubmissions = lectern.onSubmissions((submissions) => {
    const latest = new Map<string, Submission>();
    for (const submission of submissions) {
      if (submission.assignmentId !== assignmentId) continue;
      latest.set(submission.questionId, submission);
      if (submission.state.status === "acknowledged" && !acknowledged.has(submission.submissionId)) {
        acknowledged.add(submission.submissionId);
        results.expect(submission.questionId);
      }
    }
    for (const [questionId, card] of cards) card.follow(latest.get(questionId) ?? null);
    showProgress();
  });
  const stopFigures = lectern.onAssignment(
    assignmentId,
    (figures) => {
      classPanel.show(figures);
      results.figuresMoved();
    },
    () => classPanel.failed(),
  );
  results.load();

  const element = h(
    "div",
    { class: "student" },
    h(
      "div",
      { class: "sheet" },
      h("h1", { tabindex: "-1" }, h("bdi", {}, assignment.title)),
      h("div", { class: "progress" }, progress, progressBar.element),
      list,
    ),
    h("aside", { class: "side", tabindex: 0, "aria-label": t("yourResults") }, results.element, classPanel.element),
  );
  return {
    element,
    close: () => {
      stopSubmissions();
      stopFigures();
      results.close();
      classPanel.close();
      for (const card of cards.values()) card.close();
    },
  };
}

interface CardActions {
  draftKey: string;
  submit(answer: Answer): void;
  discard(submissionId: string): void;
  explanation(): Explanation | null;
}

class Card {
  readonly element: HTMLElement;
  readonly #form: QuestionForm;
  readonly #actions: CardActions;
  readonly #button = h("button", { type: "submit", class: "primary" }, t("submit"));
  readonly #problem = h("p", { class: "problem", role: "alert" });
  readonly #state = h("p", { class: "state", role: "status" });
  readonly #more = h("div", { class: "state-more" });
  readonly #grade = h("div", { class: "grade" });
  readonly #tutor = h("div", {});
  #explanation: Explanation | null = null;
  #explained = "";
  #shown: Submission | null = null;
  #stop: () => void = () => undefined;
  #answered = false;
  #touched = false;

  constructor(question: Question, form: QuestionForm, actions: CardActions) {
    this.#form = form;
    this.#actions = actions;
    const draft = drafts.get(actions.draftKey);
    if (draft) {
      form.write(draft);
      this.#touched = true;
    }
    const footer = h("div", { class: "card-foot" }, this.#button, this.#state);
    const body = h(
      "form",
      { novalidate: true, onsubmit: (event) => this.#submitted(event), oninput: () => this.#edited() },
      form.element,
      this.#problem,
      footer,
      this.#more,
      this.#grade,
      this.#tutor,
    );
    this.element = h("li", { class: "card", "data-question": question.questionId, "data-type": question.type }, body);
  }

  isAnswered(): boolean {
    return this.#answered;
  }

  /** Show the state of *submission*, the latest for this question. */
  follow(submission: Submission | null): void {
    if (submission === this.#shown) return;
    this.#stop();
    this.#shown = submission;
    this.#stop = () => undefined;
    if (submission === null) {
      this.#show(null);
      return;
    }
    if (!this.#touched) this.#form.write(submission.answer);
    this.#stop = submission.subscribe((state) => this.#show(state));
  }

  graded(result: AnswerResult): void {
    this.#answered = true;
    say(this.#button, t("submitAgain"));
    if (!this.#touched && this.#shown === null && result.response) this.#form.write(result.response as unknown as Answer);
    const [kind, text] = verdict(result.credit);
    fill(
      this.#grade,
      h("p", { class: `verdict ${kind}`, "data-testid": "verdict" }, text),
      ...result.feedback.map((each) => richBlock(each, "rich feedback")),
    );
    this.#offerExplanation(result);
  }

  /** A new attempt begins anew; the same one keeps what was said about it. */
  #offerExplanation({ credit, attempts, submittedAt }: AnswerResult): void {
    const attempt = `${attempts}/${submittedAt}`;
    if (attempt === this.#explained) return;
    this.#explained = attempt;
    this.#explanation?.close();
    this.#explanation = credit !== null && credit < 1 ? this.#actions.explanation() : null;
    fill(this.#tutor, this.#explanation?.element ?? null);
  }

  close(): void {
    this.#stop();
    this.#explanation?.close();
  }

  #edited(): void {
    this.#touched = true;
    this.#explain(null);
    try {
      drafts.set(this.#actions.draftKey, this.#form.read());
    } catch (error) {
      if (!(error instanceof Incomplete)) throw error;
      drafts.delete(this.#actions.draftKey);
    }
  }

  #submitted(event: Event): void {
    event.preventDefault();
    try {
      const answer = this.#form.read();
      this.#explain(null);
      drafts.delete(this.#actions.draftKey);
      this.#touched = false;
      this.#actions.submit(answer);
    } catch (error) {
      if (!(error instanceof Incomplete)) throw error;
      this.#explain(error);
    }
  }

  #explain(incomplete: Incomplete | null): void {
    say(this.#problem, incomplete === null ? "" : t(incomplete.word));
    for (const control of this.#form.element.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    incomplete?.control?.setAttribute("aria-invalid", "true");
    incomplete?.control?.focus();
  }

  #show(state: SubmissionState | null): void {
    this.#state.dataset.status = state?.status ?? "";
    fill(this.#more);
    if (state === null) {
      say(this.#state, "");
      return;
    }
    if (state.status !== "refused") this.#answered = true;
    say(this.#state, stateText(state));
    if (state.status === "acknowledged") {
      say(this.#button, t("submitAgain"));
      if (state.receipt !== null) {
        fill(
          this.#more,
          h("details", { class: "receipt" }, h("summary", {}, t("receipt")), h("code", { dir: "ltr" }, state.receipt)),
        );
      }
    }
    const submission = this.#shown;
    if (state.status === "queued" && submission !== null) {
      fill(this.#more, h("p", { class: "hint" }, t("answeredAt", { time: timeOfDay(submission.clientTime) })));
    }
    if (state.status === "refused" && submission !== null) {
      const discard = (): void => this.#actions.discard(submission.submissionId);
      fill(this.#more, h("button", { type: "button", onclick: discard }, t("discard")));
    }
  }
}

const WAITS = {
  offline: "stateOffline",
  unavailable: "stateUnavailable",
  throttled: "stateThrottled",
  signedOut: "stateSignedOut",
} as const satisfies Record<string, Word>;

function stateText(state: SubmissionState): string {
  switch (state.status) {
    case "saving":
      return t("stateSaving");
    case "queued":
      return t(WAITS[state.wait]);
    case "acknowledged":
      return t("stateRecorded", { time: timeOfDay(state.acknowledgedAt) });
    case "refused":
      return t("stateRefused", { reason: state.message || state.code });
  }
}

function verdict(credit: number | null): [string, string] {
  if (credit === null) return ["ungraded", t("ungraded")];
  if (credit >= 1) return ["right", t("right")];
  if (credit > 0) return ["partly", t("partly", { percent: percent(credit) })];
  return ["wrong", t("wrong")];
}

/** The learner's score, read again while answers of theirs are still being processed. */
class ResultsPanel {
  readonly element: HTMLElement;
  readonly #session: Session;
  readonly #assignmentId: string;
  readonly #loaded: (reply: MyResults) => void;
  readonly #body = h("div", {});
  readonly #expected = new Map<string, number>();
  #attempts = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #tries = 0;
  #lastAt = 0;
  #closed = false;

  constructor(session: Session, assignmentId: string, loaded: (reply: MyResults) => void) {
    this.#session = session;
    this.#assignmentId = assignmentId;
    this.#loaded = loaded;
    this.element = h("section", { class: "panel results", "data-testid": "results" }, h("h2", {}, t("yourResults")), this.#body);
    fill(this.#body, h("p", { class: "hint" }, t("loading")));
  }

  /** An answer to *questionId* is on record; its result follows. */
  expect(questionId: string): void {
    const known = this.#expected.get(questionId) ?? this.#attempts.get(questionId) ?? 0;
    this.#expected.set(questionId, known + 1);
    this.#tries = 0;
    this.#plan(RESULTS_EVERY_MS);
  }

  /** The live figures changed: what is expected may be there now. */
  figuresMoved(): void {
    if (this.#expected.size > 0) this.#plan(0);
  }

  load(): void {
    this.#lastAt = Date.now();
    this.#session.functions.myResults({ assignmentId: this.#assignmentId }).then(
      (reply) => this.#show(reply),
      () => this.#body.childElementCount === 0 || this.#plan(4 * RESULTS_EVERY_MS),
    );
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #plan(milliseconds: number): void {
    if (this.#closed || this.#tries >= RESULTS_TRIES) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const sinceLast = Date.now() - this.#lastAt;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#tries += 1;
        this.load();
      },
      Math.max(milliseconds, RESULTS_EVERY_MS / 3 - sinceLast),
    );
  }

  #show(reply: MyResults): void {
    if (this.#closed) return;
    this.#attempts = new Map(reply.answers.map((each) => [each.questionId, each.attempts]));
    for (const [questionId, attempts] of this.#expected) {
      if ((this.#attempts.get(questionId) ?? 0) >= attempts) this.#expected.delete(questionId);
    }
    const share = reply.maxScore > 0 ? reply.score / reply.maxScore : 0;
    const bar = new Bar();
    const text = t("scoreOf", { score: number(reply.score, 2), max: number(reply.maxScore, 2) });
    bar.show(share, text);
    fill(this.#body, h("p", { class: "score" }, text), bar.element);
    this.#loaded(reply);
    if (this.#expected.size > 0) this.#plan(RESULTS_EVERY_MS);
  }
}

/** What the class has answered so far. */
class ClassPanel {
  readonly element: HTMLElement;
  readonly #stamp = new FreshnessStamp();
  readonly #students = new Tile("students");
  readonly #answers = new Tile("answersLabel");
  readonly #rows = new Map<string, { bar: Bar; value: HTMLElement }>();
  readonly #note = h("p", { class: "hint" }, t("noFiguresYet"));

  constructor(assignment: AssignmentForm) {
    const list = h("ol", { class: "class-rows" });
    for (const question of assignment.questions) {
      if (question.type === "description" || question.type === "essay") continue;
      const bar = new Bar();
      const value = h("span", { class: "value" }, t("none"));
      bar.show(null, t("none"));
      this.#rows.set(question.questionId, { bar, value });
      const name = h("span", { class: "class-name" }, h("bdi", {}, question.name || plainOf(question.text)));
      list.append(h("li", {}, name, bar.element, value));
    }
    this.element = h(
      "section",
      { class: "panel class-now", "data-testid": "class-now" },
      h("h2", {}, t("classNow")),
      this.#stamp.element,
      h("dl", { class: "tiles" }, this.#students.element, this.#answers.element),
      this.#note,
      list,
    );
  }

  show(figures: AssignmentFigures): void {
    this.#stamp.show(figures);
    this.#students.show(number(figures.stats.students));
    this.#answers.show(number(figures.stats.answers));
    this.#note.hidden = figures.stats.answers > 0;
    for (const [questionId, { bar, value }] of this.#rows) {
      const facility = figures.stats.questions[questionId]?.facility ?? null;
      const text = shownShare(facility);
      bar.show(facility, t("meanScore", { percent: text }));
      say(value, text);
    }
  }

  failed(): void {
    this.#note.hidden = false;
    say(this.#note, t("failedToLoad"));
  }

  close(): void {
    this.#stamp.close();
  }
}
