// Made from the function registry by `make generate`; do not edit.

/** An error that a function answered with. */
export class LecternError extends Error {
  constructor(
    /** The canonical code, such as "NOT_FOUND". */
    readonly code: string,
    message: string,
    readonly status: number,
    readonly details: readonly Record<string, unknown>[],
    /** How long to wait before asking again, where the server said so. */
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(message);
    this.name = "LecternError";
  }
}

/** A reply that arrives in pieces: iterate over its messages, then await `result`. */
export interface Streamed<Message, Reply> extends AsyncIterable<Message> {
  readonly result: Promise<Reply>;
}

export interface ClientOptions {
  /** Where the functions are, without the function's name: `https://REGION-PROJECT.cloudfunctions.net`. */
  readonly baseUrl: string;
  /** Resolves to the signed-in user's ID token, or null. */
  readonly idToken: () => Promise<string | null>;
  readonly fetch?: typeof fetch;
}

/** Which evaluation of which assignment is right as it is. */
export interface AcceptEvaluation {
  readonly assignmentId: string;
  readonly evaluationId: string;
}

/** Who can do it: the course's teachers, or whoever deploys. */
export type Actor = "teacher" | "operator";

/**
 * ``count`` pairs, of which ``exact`` are equal; ``kappaMillionths`` is quadratic weighted kappa.
 *
 * 1,000,000 is perfect agreement, 0 what chance would give; null where it is not defined
 * (no pair, or no chance of disagreement).
 */
export interface Agreement {
  readonly count: number;
  readonly exact: number;
  readonly exactPerMille: number | null;
  readonly kappaMillionths: number | null;
}

/** How far suggestions and decisions agree: over the totals, and by criterion id. */
export interface AgreementReply {
  readonly total: Agreement;
  readonly criteria: Readonly<Record<string, Agreement>>;
}

/**
 * The answer is on record.
 *
 * ``receipt`` proves it (see ``verify_receipt``); ``duplicate`` says that it was there before.
 */
export interface AnswerAccepted {
  readonly eventId: string;
  readonly receipt: string;
  readonly duplicate: boolean;
}

/** What became of one answer of a batch: accepted, or an error. */
export interface AnswerOutcome {
  readonly eventId?: string | null;
  readonly receipt?: string | null;
  readonly duplicate?: boolean | null;
  readonly error?: AnswerProblem | null;
}

/** One outcome per answer, in the order sent. */
export interface AnswerOutcomes {
  readonly outcomes: readonly (AnswerOutcome)[];
}

/** Why one answer of a batch was not taken: canonical status and message. */
export interface AnswerProblem {
  readonly status: string;
  readonly message: string;
}

/**
 * What the caller has at one question.
 *
 * ``credit`` is a share of full credit (null while a person has to grade); ``response`` says which
 * options were chosen, where there are options.
 */
export interface AnswerResult {
  readonly questionId: string;
  readonly credit: number | null;
  readonly attempts: number;
  readonly submittedAt: string;
  readonly response: Readonly<Record<string, string | boolean | readonly (string)[]>> | null;
  readonly feedback: readonly (RichText)[];
}

/** The figures as they were after every merge up to that moment. */
export interface AssignmentAsOf {
  readonly assignmentId: string;
  readonly at: string;
  readonly stats: Statistics;
}

/**
 * An assignment as learners see it: without keys, options in an order that tells nothing.
 *
 * ``tutor``: whether there are hints and explanations.
 */
export interface AssignmentForm {
  readonly assignmentId: string;
  readonly courseId: string;
  readonly title: string;
  readonly policy: GradingPolicy;
  readonly tutor: boolean;
  readonly questions: readonly (Question)[];
}

/** The new assignment. */
export interface AssignmentImported {
  readonly assignmentId: string;
  readonly questions: readonly (ImportedQuestion)[];
  readonly skipped: readonly (SkippedPart)[];
}

/** Newest first. */
export interface AssignmentList {
  readonly assignments: readonly (AssignmentSummary)[];
}

/**
 * Whether what was live equals what history says, byte for byte.
 *
 * ``digest`` is SHA-256 over the rebuilt registers, ``events`` how many answers were replayed.
 */
export interface AssignmentRebuilt {
  readonly identical: boolean;
  readonly digest: string;
  readonly events: number;
}

/** An assignment, as a list shows it. */
export interface AssignmentSummary {
  readonly assignmentId: string;
  readonly title: string;
  readonly questionCount: number;
}

/** Which attempt counts where there are several. */
export type AttemptsPolicy = "last" | "best" | "first";

/**
 * A learner's turn about one question: another hint, or an explanation of the answer they gave.
 *
 * ``conversation`` is what was said before, oldest first; it is quoted, not believed.
 */
export interface Chat {
  readonly assignmentId: string;
  readonly questionId: string;
  readonly intent?: "hint" | "explain";
  readonly message?: string;
  readonly conversation?: readonly (Turn)[];
  readonly eventId?: string | null;
}

/** The next piece of the reply: plain text. */
export interface ChatPiece {
  readonly text: string;
}

/**
 * The whole reply: plain text in ``language``, which runs ``dir``.
 *
 * ``rung`` of 4 on the ladder of hints; ``told``: the answer could be told; ``heldBack``: a part that would
 * have given it away was replaced; ``canned``: no model was asked, the built-in tutor made it.
 *
 * ``degraded``: no model could be asked, as the budget is spent or none answers, and prepared feedback is in
 * its place; ``retryAfterSeconds`` says when one may be asked again. A prepared hint is no rung further.
 */
export interface ChatReply {
  readonly text: string;
  readonly rung: number;
  readonly told: boolean;
  readonly heldBack: boolean;
  readonly language: "en" | "he" | "ar";
  readonly dir: "ltr" | "rtl";
  readonly canned: boolean;
  readonly degraded: "budget" | "outage" | null;
  readonly retryAfterSeconds: number;
}

/** The right side of a pair in a matching question; may belong to no stem or to several. */
export interface Choice {
  readonly choiceId: string;
  readonly text: RichText;
}

/**
 * What a day's calls suggest, the most worthwhile first.
 *
 * ``truncated``: there are more calls than were looked at.
 */
export interface CostAdvice {
  readonly courseId: string;
  readonly day: string;
  readonly calls: number;
  readonly nanos: number;
  readonly tips: readonly (CostTip)[];
  readonly truncated: boolean;
}

/**
 * One thing that would have made the day cheaper.
 *
 * ``rule`` is its stable name, ``actor`` who can do it: a ``teacher``, or the ``operator`` who deploys.
 * ``subject`` is a learner, a task or a setting. ``savedNanos`` is about what it would have saved; 0: nobody
 * can tell.
 */
export interface CostTip {
  readonly rule: Rule;
  readonly actor: Actor;
  readonly subject: string;
  readonly savedNanos: number;
  readonly text: string;
}

/** The new course's id. */
export interface CourseCreated {
  readonly courseId: string;
}

/** What somebody is in a course. */
export type CourseRole = "student" | "teacher";

/** A new course; with open enrolment, everybody who is signed in is a student of it. */
export interface CreateCourse {
  readonly title: string;
  readonly openEnrollment?: boolean;
}

/** One thing to look for, worth 0 to ``maxPoints`` whole points. */
export interface Criterion {
  readonly criterionId: string;
  readonly title: string;
  readonly description?: string;
  readonly maxPoints?: number;
}

/** How often each number of points was given for a criterion, from 0 to ``maxPoints``. */
export interface CriterionFigures {
  readonly criterionId: string;
  readonly title: string;
  readonly maxPoints: number;
  readonly counts: readonly (number)[];
}

/** What one criterion came to; ``evidence`` are passages of the answer, word for word. */
export interface CriterionScore {
  readonly criterionId: string;
  readonly title: string;
  readonly points: number;
  readonly maxPoints: number;
  readonly evidence?: readonly (string)[];
  readonly comment?: string;
}

/**
 * What a teacher decided about one evaluation: accepted as it is, or other points.
 *
 * ``criteria`` are the decided points by criterion id; ``points`` is their sum.
 */
export interface Decision {
  readonly evaluationId: string;
  readonly eventId: string;
  readonly assignmentId: string;
  readonly questionId: string;
  readonly studentId: string;
  readonly decision: "accepted" | "overridden";
  readonly criteria: Readonly<Record<string, number>>;
  readonly points: number;
  readonly maxPoints: number;
  readonly comment?: string;
  readonly decidedBy: string;
  readonly decidedAt: string;
}

/**
 * Who becomes what, in which course.
 *
 * With ``classId`` in one of its classes, whose ceiling of money then applies to them; without, in none.
 */
export interface EnrollLearner {
  readonly courseId: string;
  readonly learnerId: string;
  readonly role?: CourseRole;
  readonly classId?: string | null;
}

/** Who is to be erased; ``confirm`` is the same uid once more, as nothing brings them back. */
export interface EraseLearner {
  readonly learnerId: string;
  readonly confirm: string;
}

/**
 * What a receipt vouches for.
 *
 * ``counts`` are documents by collection, and answers, that were removed or, where something has to stay,
 * freed of their names. ``round`` counts the erasures of one learner, should they have come back.
 */
export interface Erased {
  readonly erasureId: string;
  readonly round: number;
  readonly requestedAt: string;
  readonly closedAt: string;
  readonly passes: number;
  readonly counts: Readonly<Record<string, number>>;
}

/**
 * How an erasure stands.
 *
 * ``erasing`` goes on within the hour, ``waiting`` goes through everything again after ``resumeAt``, until
 * it finds nothing; ``closing`` and ``closed`` have a receipt. ``counts`` are what was removed so far, by
 * collection. ``round`` is above 1 where a learner has come back and was erased again.
 */
export interface ErasureReply {
  readonly erasureId: string;
  readonly state: "erasing" | "waiting" | "closing" | "closed";
  readonly round: number;
  readonly passes: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly requestedAt: string;
  readonly resumeAt: string | null;
  readonly closedAt: string | null;
  readonly receipt: string | null;
}

/**
 * An answer of the caller's, by its event id or (without) the one that counts, to a text question.
 *
 * ``whenRefused``: what becomes of it where money is spent or the provider fails: an error, or a place in
 * the queue, whose turn comes within a day or two.
 */
export interface EvaluateAnswer {
  readonly assignmentId: string;
  readonly questionId: string;
  readonly eventId?: string | null;
  readonly whenRefused?: "refuse" | "queue";
}

/**
 * A suggestion about one recorded answer; immutable, ``users/{uid}/evaluations/{evaluationId}``.
 *
 * ``points`` is the sum over the criteria; ``confidence`` is in percent.
 */
export interface Evaluation {
  readonly evaluationId: string;
  readonly eventId: string;
  readonly assignmentId: string;
  readonly courseId: string;
  readonly questionId: string;
  readonly studentId: string;
  readonly criteria: readonly (CriterionScore)[];
  readonly points: number;
  readonly maxPoints: number;
  readonly feedback: string;
  readonly language: "en" | "he" | "ar";
  readonly dir: "ltr" | "rtl";
  readonly confidence: number;
  readonly errorPatterns: readonly (string)[];
  readonly flags: readonly ("suspicious" | "redacted" | "unsupported" | "scoreMismatch" | "answerWithheld" | "canned" | "smallModel")[];
  readonly promptVersion: string;
  readonly rubricVersion: string;
  readonly model: string;
  readonly evaluatedAt: string;
}

/** Some evaluations, and where the next page begins (null: there is none). */
export interface EvaluationPage {
  readonly rows: readonly (EvaluationRow)[];
  readonly nextCursor: string | null;
}

/**
 * How many of a question's evaluations wait for a turn, are with the provider, or were given up.
 *
 * ``way`` is how they are asked for: ``batches``, or ``alone`` where the provider takes none (at the full
 * price, a few every five minutes), or ``none`` where no model is set up.
 */
export interface EvaluationQueueState {
  readonly way: "batches" | "alone" | "none";
  readonly queued: number;
  readonly batched: number;
  readonly givenUp: number;
  readonly rows: readonly (GivenUp)[];
}

/** The evaluation, a suggestion until a teacher decides; null where there is none, or none yet. */
export interface EvaluationReply {
  readonly state: "evaluated" | "queued" | "unanswered";
  readonly evaluation: Evaluation | null;
}

/** An evaluation, and what was decided about it. */
export interface EvaluationRow {
  readonly evaluation: Evaluation;
  readonly decision: Decision | null;
}

/** Of which course, and of which day of the school's time zone. */
export interface ExportSpend {
  readonly courseId: string;
  readonly day: string;
}

/** What a course is to be about, and for whom. */
export interface GenerateSkeleton {
  readonly courseId: string;
  readonly topic: string;
  readonly audience?: string;
  readonly lessons?: number;
  readonly language?: "en" | "he" | "ar";
}

/** Which step of which outline (positions from 0), for which level, in which language. */
export interface GenerateStep {
  readonly courseId: string;
  readonly version: string;
  readonly lesson: number;
  readonly step: number;
  readonly level?: "beginner" | "intermediate" | "advanced";
  readonly language?: "en" | "he" | "ar";
}

/** Of which assignment. */
export interface GetAgreement {
  readonly assignmentId: string;
}

/** Which assignment. */
export interface GetAssignment {
  readonly assignmentId: string;
}

/** Which assignment, at which moment. */
export interface GetAssignmentAsOf {
  readonly assignmentId: string;
  readonly at: string;
}

/** Of which course, and from which day's calls, in the school's time zone. */
export interface GetCostAdvice {
  readonly courseId: string;
  readonly day: string;
}

/** Which erasure. */
export interface GetErasure {
  readonly erasureId: string;
}

/** Of which question. */
export interface GetEvaluationQueue {
  readonly assignmentId: string;
  readonly questionId: string;
}

/** A page of the gradebook: from the beginning, or from where another page ended. */
export interface GetGradebook {
  readonly assignmentId: string;
  readonly pageSize?: number;
  readonly cursor?: string | null;
}

/** Of which course. */
export interface GetSpend {
  readonly courseId: string;
}

/**
 * An answer that nobody tries to evaluate any more, and why; queueing it again begins anew.
 *
 * ``failed``: the provider did not answer it, three times. ``unusable``: what it replied was no
 * evaluation. ``notOnRecord``: the answer is not there any more. ``changed``: the prompt is another.
 */
export interface GivenUp {
  readonly eventId: string;
  readonly studentId: string;
  readonly reason: "failed" | "unusable" | "notOnRecord" | "changed";
}

/** Some students, and where the next page begins (null: there is none). */
export interface Gradebook {
  readonly rows: readonly (GradebookRow)[];
  readonly nextCursor: string | null;
}

/** One student; ``answered`` questions, of which ``ungraded`` wait for a person; scores in points. */
export interface GradebookRow {
  readonly studentId: string;
  readonly score: number;
  readonly maxScore: number;
  readonly answered: number;
  readonly ungraded: number;
  readonly attempts: number;
  readonly lastSubmittedAt: string;
}

/** Which attempt counts, and how many there may be (None: any number). */
export interface GradingPolicy {
  readonly attempts?: AttemptsPolicy;
  readonly maxAttempts?: number | null;
}

/**
 * A question set in one of three formats (``docs/import.md``), and how it is to be graded.
 *
 * ``tutor``: whether learners get hints and explanations about it; ``switch_tutor`` changes it.
 */
export interface ImportAssignment {
  readonly courseId: string;
  readonly title: string;
  readonly format: "gift" | "csv" | "json";
  readonly source: string;
  readonly policy?: GradingPolicy;
  readonly tutor?: boolean;
}

/** One question of a new assignment. */
export interface ImportedQuestion {
  readonly questionId: string;
  readonly name: string;
  readonly type: QuestionType;
}

/**
 * What is known about one question.
 *
 * ``facility`` is the mean share of full credit, 0 to 1 (below 0 where wrong answers cost);
 * ``discrimination`` the correlation of the score with the total of the other questions, -1 to 1,
 * over students who answered everything; either is null while it is not defined.
 */
export interface ItemFigures {
  readonly answered: number;
  readonly correct: number;
  readonly facility: number | null;
  readonly discrimination: number | null;
  readonly options: Readonly<Record<string, number>>;
}

/** The membership as it is now. */
export interface LearnerEnrolled {
  readonly courseId: string;
  readonly learnerId: string;
  readonly role: CourseRole;
  readonly classId: string | null;
}

/** Of which course. */
export interface ListAssignments {
  readonly courseId: string;
}

/** A page of an assignment's evaluations: those that wait for a decision, or those that were decided. */
export interface ListEvaluations {
  readonly assignmentId: string;
  readonly state?: "waiting" | "decided";
  readonly pageSize?: number;
  readonly cursor?: string | null;
}

/** What the caller has achieved; scores in points. */
export interface MyResults {
  readonly assignmentId: string;
  readonly score: number;
  readonly maxScore: number;
  readonly ungraded: number;
  readonly answers: readonly (AnswerResult)[];
}

/** ``{"number": 1822}``: numeric. */
export interface NumberResponse {
  readonly number: number;
}

/** One choice of a choice question; its id stays the same however options are shown. */
export interface Option {
  readonly optionId: string;
  readonly text: RichText;
}

/** ``{"optionId": "a"}``: single choice. */
export interface OptionResponse {
  readonly optionId: string;
}

/** ``{"optionIds": ["a", "c"]}``: multiple choice; the empty list is an answer. */
export interface OptionsResponse {
  readonly optionIds: readonly (string)[];
}

/** Other points for an evaluation: of every criterion, by its id; ``comment`` is for the learner. */
export interface OverrideEvaluation {
  readonly assignmentId: string;
  readonly evaluationId: string;
  readonly criteria: Readonly<Record<string, number>>;
  readonly comment?: string;
}

/** ``{"pairs": {"<stemId>": "<choiceId>"}}``: matching; unanswered stems may be absent. */
export interface PairsResponse {
  readonly pairs: Readonly<Record<string, string>>;
}

/**
 * How far a pilot agrees with what teachers decided about the same answers.
 *
 * Where they decided by another rubric, its total is scaled to this one's, to the nearest point, and only
 * criteria that both have, worth the same, are compared.
 */
export interface PilotAgreement {
  readonly total: Agreement;
  readonly criteria: Readonly<Record<string, Agreement>>;
}

/**
 * What a run would do, and cost; nothing was spent.
 *
 * ``answers`` are recorded (of each learner the one that counts), of which ``sample`` would be tried. Money
 * is in nano-dollars (1 USD = 1,000,000,000): ``estimatedNanos`` by a measure of the requests and prices as
 * of ``pricesAsOf``, ``worstNanos`` if every byte were a token and every attempt billed; ``…ForAll`` the
 * same for all answers; ``remainingNanos`` is what the tightest budget leaves. Answers that were evaluated
 * by the same rubric before cost nothing again.
 */
export interface PilotPreview {
  readonly previewId: string;
  readonly answers: number;
  readonly sample: readonly (PreviewedAnswer)[];
  readonly criteria: readonly (PreviewedCriterion)[];
  readonly rubricVersion: string;
  readonly promptVersion: string;
  readonly model: string;
  readonly pricesAsOf: string;
  readonly estimatedNanos: number;
  readonly worstNanos: number;
  readonly estimatedNanosForAll: number;
  readonly worstNanosForAll: number;
  readonly remainingNanos: number;
}

/**
 * What was found so far; suggestions to nobody, and in no queue.
 *
 * ``ended`` says why this call did: ``done``; ``time`` (call again at once); ``budget`` or ``outage`` (call
 * again after ``retryAfterSeconds``). ``left`` answers were not evaluated. ``nanos`` is what the evaluations
 * cost so far; the course's spending also has what failed.
 */
export interface PilotReport {
  readonly previewId: string;
  readonly ended: "done" | "time" | "budget" | "outage";
  readonly left: number;
  readonly retryAfterSeconds: number;
  readonly nanos: number;
  readonly rows: readonly (PilotRow)[];
  readonly criteria: readonly (CriterionFigures)[];
  readonly agreement: PilotAgreement;
}

/** What was found about one answer, what that cost, and what a teacher decided about it (or null). */
export interface PilotRow {
  readonly evaluation: Evaluation;
  readonly nanos: number;
  readonly decision: Decision | null;
}

/**
 * Which question's answers to try a rubric on: *rubric*, or without one the question's own.
 *
 * The same ``seed`` takes the same sample of the same answers.
 */
export interface PreviewPilot {
  readonly assignmentId: string;
  readonly questionId: string;
  readonly rubric?: readonly (Criterion)[] | null;
  readonly sampleSize?: number;
  readonly seed?: number;
}

/** One answer of the sample. */
export interface PreviewedAnswer {
  readonly eventId: string;
  readonly studentId: string;
  readonly characters: number;
}

/** What would be looked for, and what it would be worth. */
export interface PreviewedCriterion {
  readonly criterionId: string;
  readonly title: string;
  readonly maxPoints: number;
}

/**
 * A question without its key: everything in here may be shown to learners.
 *
 * ``options`` belong to the choice types, ``stems`` and ``choices`` to matching; the others have none.
 */
export interface Question {
  readonly questionId: string;
  readonly type: QuestionType;
  readonly name: string;
  readonly text: RichText;
  readonly category?: string;
  readonly weight?: string;
  readonly options?: readonly (Option)[];
  readonly stems?: readonly (Stem)[];
  readonly choices?: readonly (Choice)[];
}

/** What a learner is asked to do. */
export type QuestionType = "singleChoice" | "multipleChoice" | "trueFalse" | "numeric" | "shortText" | "matching" | "essay" | "description";

/**
 * Which question's answers to have evaluated: at most so many of those that have no evaluation yet.
 *
 * With ``dryRun`` nothing is queued; the reply tells what it would cost.
 */
export interface QueueEvaluations {
  readonly assignmentId: string;
  readonly questionId: string;
  readonly limit?: number;
  readonly dryRun?: boolean;
}

/**
 * What was queued, or would be, and what that costs.
 *
 * Of the ``answers`` that count, ``evaluated`` have an evaluation, ``waiting`` wait for theirs and ``fresh``
 * do neither: these are taken, up to the limit. ``more``: there are others. Money is in nano-dollars
 * (1 USD = 1,000,000,000), at ``percent`` of the prices as of ``pricesAsOf``: ``estimatedNanos`` by a
 * measure of the requests, ``worstNanos`` if every byte were a token and every attempt billed.
 * ``remainingNanos`` is what the tightest of the course's and the tenant's budgets leaves; those of each
 * learner and class hold as well.
 */
export interface QueuedEvaluations {
  readonly queued: number;
  readonly answers: number;
  readonly evaluated: number;
  readonly waiting: number;
  readonly fresh: number;
  readonly more: boolean;
  readonly model: string;
  readonly percent: number;
  readonly pricesAsOf: string;
  readonly estimatedNanos: number;
  readonly worstNanos: number;
  readonly remainingNanos: number;
}

/** Where to go on, from the reply before; without, from the beginning. */
export interface ReapplyErasures {
  readonly cursor?: string | null;
}

/**
 * Of ``erased`` learners ``met`` were there again, and are being erased; so are ``answers`` of theirs.
 *
 * ``answers`` is null and ``nextCursor`` given where time did not suffice: call again with it. When a call
 * meets nobody and no answers, nobody is left.
 */
export interface ReapplyReply {
  readonly erased: number;
  readonly met: number;
  readonly answers: number | null;
  readonly nextCursor: string | null;
}

/** Replay the whole history; ``replace`` puts what was rebuilt in the place of what is live. */
export interface RebuildAssignment {
  readonly assignmentId: string;
  readonly mode?: "compare" | "replace";
}

/** What a valid receipt vouches for; ``digest`` is the SHA-256 of the stored event. */
export interface ReceiptVerified {
  readonly eventId: string;
  readonly digest: string;
  readonly submittedAt: string;
}

/** Cronbach's alpha over the ``students`` who answered everything; null while it is not defined. */
export interface Reliability {
  readonly alpha: number | null;
  readonly students: number;
}

/** A text together with its mark-up; untrusted, to be escaped or sanitised by whoever shows it. */
export interface RichText {
  readonly format?: TextFormat;
  readonly text: string;
}

/** What could be done. */
export type Rule = "cheaper-model" | "limit-abuse" | "batch" | "prompt-cache" | "less-reasoning" | "shared-cache" | "larger-cache" | "lesson-cache" | "archive";

/** Which preview to carry out, or to go on with. */
export interface RunPilot {
  readonly assignmentId: string;
  readonly previewId: string;
}

/** A course in outline. */
export interface Skeleton {
  readonly title: string;
  readonly summary: string;
  readonly lessons: readonly (SkeletonLesson)[];
}

/** One lesson: what learners can do after it, and its steps. */
export interface SkeletonLesson {
  readonly title: string;
  readonly objectives: readonly (string)[];
  readonly steps: readonly (SkeletonStep)[];
}

/** How far it is: lessons begun, of how many. */
export interface SkeletonProgress {
  readonly lessons: number;
  readonly of: number;
}

/** The outline, stored under ``version``, the name of its content. */
export interface SkeletonReply {
  readonly courseId: string;
  readonly version: string;
  readonly skeleton: Skeleton;
  readonly language: "en" | "he" | "ar";
  readonly dir: "ltr" | "rtl";
  readonly canned: boolean;
}

/** One step of a lesson, not written yet. */
export interface SkeletonStep {
  readonly title: string;
  readonly kind: "read" | "example" | "practice" | "check";
  readonly objective: string;
}

/** Something in the source that the assignment does not have; positions from 1. */
export interface SkippedPart {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
}

/**
 * What the course has spent today, in nano-dollars (1 USD = 1,000,000,000).
 *
 * ``reservedNanos`` is put aside for calls under way and to come; ``unaccountedNanos``, a part of what is
 * spent, was held by instances that ended without telling what became of it. ``percent`` is of the ceiling.
 */
export interface Spend {
  readonly courseId: string;
  readonly period: string;
  readonly ceilingNanos: number;
  readonly spentNanos: number;
  readonly reservedNanos: number;
  readonly unaccountedNanos: number;
  readonly remainingNanos: number;
  readonly percent: number;
  readonly byTask: readonly (TaskSpend)[];
}

/**
 * The day's ledger as CSV after RFC 4180, oldest first.
 *
 * No cell is read as a formula by a spreadsheet. ``truncated``: there are more entries than the table has.
 */
export interface SpendTable {
  readonly fileName: string;
  readonly csv: string;
  readonly rows: number;
  readonly nanos: number;
  readonly truncated: boolean;
}

/** The figures of an assignment; ``answers`` counts one answer per student and question. */
export interface Statistics {
  readonly students: number;
  readonly answers: number;
  readonly questions: Readonly<Record<string, ItemFigures>>;
  readonly reliability: Reliability;
}

/** The left side of a pair in a matching question. */
export interface Stem {
  readonly stemId: string;
  readonly text: RichText;
}

/** A step, written. */
export interface StepContent {
  readonly body: string;
  readonly keyPoints: readonly (string)[];
}

/** The step, written: plain text in ``language``, which runs ``dir``. */
export interface StepReply {
  readonly content: StepContent;
  readonly language: "en" | "he" | "ar";
  readonly dir: "ltr" | "rtl";
  readonly canned: boolean;
}

/** What a learner may claim: which question, and what the answer is. Who and when come from the server. */
export interface SubmitAnswer {
  readonly assignmentId: string;
  readonly questionId: string;
  readonly answer: OptionResponse | OptionsResponse | TruthResponse | NumberResponse | TextResponse | PairsResponse;
  readonly submissionId?: string | null;
}

/** Up to 50 answers at once. */
export interface SubmitAnswers {
  readonly answers: readonly (SubmitAnswer)[];
}

/** Whether learners may have hints and explanations (``chat``) about an assignment. */
export interface SwitchTutor {
  readonly assignmentId: string;
  readonly on: boolean;
}

/** What one kind of task cost, in nano-dollars, and how many calls it was. */
export interface TaskSpend {
  readonly task: string;
  readonly nanos: number;
  readonly calls: number;
}

/** How a text is marked up, in Moodle's four formats. */
export type TextFormat = "moodle" | "plain" | "html" | "markdown";

/** ``{"text": "four"}``: short text and essay; at most 16 KiB of UTF-8, kept verbatim. */
export interface TextResponse {
  readonly text: string;
}

/** ``{"value": true}``: true/false. */
export interface TruthResponse {
  readonly value: boolean;
}

/** Something that was said before, as the learner's page has it: quoted to the model, not believed. */
export interface Turn {
  readonly speaker: "learner" | "tutor";
  readonly text: string;
}

/** How it is from now on; other instances follow within 30 seconds. */
export interface TutorSwitched {
  readonly assignmentId: string;
  readonly on: boolean;
}

/** A receipt of an erasure. */
export interface VerifyErasure {
  readonly receipt: string;
}

/** A receipt, as ``submit_answer`` gave it. */
export interface VerifyReceipt {
  readonly receipt: string;
}

/** Every function that clients call; each may throw a LecternError. */
export class LecternClient {
  constructor(private readonly options: ClientOptions) {}

  /** Accept a suggested evaluation as it is, for teachers of the course; decisions are not overwritten. */
  acceptEvaluation(request: AcceptEvaluation, signal?: AbortSignal): Promise<Decision> {
    return this.call("accept_evaluation", request, signal);
  }

  /** Help the caller with one question, streamed: a hint, each a rung further, or what went wrong. */
  chat(request: Chat, signal?: AbortSignal): Promise<ChatReply> {
    return this.call("chat", request, signal);
  }

  /** The same in pieces, as they come. */
  chatStream(request: Chat, signal?: AbortSignal): Streamed<ChatPiece, ChatReply> {
    return this.stream("chat", request, signal);
  }

  /** Create a course; the caller becomes its teacher. */
  createCourse(request: CreateCourse, signal?: AbortSignal): Promise<CourseCreated> {
    return this.call("create_course", request, signal);
  }

  /** Make somebody a member of a course that the caller teaches, or change what they are; safe to repeat. */
  enrollLearner(request: EnrollLearner, signal?: AbortSignal): Promise<LearnerEnrolled> {
    return this.call("enroll_learner", request, signal);
  }

  /** Erase a learner in all courses, their account included; what is not done at once goes on by itself. */
  eraseLearner(request: EraseLearner, signal?: AbortSignal): Promise<ErasureReply> {
    return this.call("erase_learner", request, signal);
  }

  /** Evaluate a written answer of the caller's against the question's rubric: a suggestion for its teacher. */
  evaluateAnswer(request: EvaluateAnswer, signal?: AbortSignal): Promise<EvaluationReply> {
    return this.call("evaluate_answer", request, signal);
  }

  /** List what a course that the caller teaches was charged on one day, call by call. */
  exportSpend(request: ExportSpend, signal?: AbortSignal): Promise<SpendTable> {
    return this.call("export_spend", request, signal);
  }

  /** Outline a course, streamed, for its teachers; the outline is stored under the name of its content. */
  generateSkeleton(request: GenerateSkeleton, signal?: AbortSignal): Promise<SkeletonReply> {
    return this.call("generate_skeleton", request, signal);
  }

  /** The same in pieces, as they come. */
  generateSkeletonStream(request: GenerateSkeleton, signal?: AbortSignal): Streamed<SkeletonProgress, SkeletonReply> {
    return this.stream("generate_skeleton", request, signal);
  }

  /** Write one step of an outline of a course, for its members; what was written once is written for all. */
  generateStep(request: GenerateStep, signal?: AbortSignal): Promise<StepReply> {
    return this.call("generate_step", request, signal);
  }

  /** Say how far suggested evaluations and teachers' decisions agree, for teachers of the course. */
  getAgreement(request: GetAgreement, signal?: AbortSignal): Promise<AgreementReply> {
    return this.call("get_agreement", request, signal);
  }

  /** Return an assignment's questions, without their keys. */
  getAssignment(request: GetAssignment, signal?: AbortSignal): Promise<AssignmentForm> {
    return this.call("get_assignment", request, signal);
  }

  /** Return an assignment's figures as they were at a past moment; for its teachers. */
  getAssignmentAsOf(request: GetAssignmentAsOf, signal?: AbortSignal): Promise<AssignmentAsOf> {
    return this.call("get_assignment_as_of", request, signal);
  }

  /** Say what would have made a day cheaper in a course that the caller teaches, from its own calls. */
  getCostAdvice(request: GetCostAdvice, signal?: AbortSignal): Promise<CostAdvice> {
    return this.call("get_cost_advice", request, signal);
  }

  /** Say how an erasure stands, and return its receipt when it is closed; for admins. */
  getErasure(request: GetErasure, signal?: AbortSignal): Promise<ErasureReply> {
    return this.call("get_erasure", request, signal);
  }

  /** Say how many of a question's evaluations wait, and which were given up; for teachers of the course. */
  getEvaluationQueue(request: GetEvaluationQueue, signal?: AbortSignal): Promise<EvaluationQueueState> {
    return this.call("get_evaluation_queue", request, signal);
  }

  /** Return a page of everybody's scores, for teachers of the course. */
  getGradebook(request: GetGradebook, signal?: AbortSignal): Promise<Gradebook> {
    return this.call("get_gradebook", request, signal);
  }

  /** Say what a course that the caller teaches has spent today, and on what. */
  getSpend(request: GetSpend, signal?: AbortSignal): Promise<Spend> {
    return this.call("get_spend", request, signal);
  }

  /** Create an assignment from a question set; all of it, or nothing and the positions of what is wrong. */
  importAssignment(request: ImportAssignment, signal?: AbortSignal): Promise<AssignmentImported> {
    return this.call("import_assignment", request, signal);
  }

  /** Return the assignments of a course, newest first. */
  listAssignments(request: ListAssignments, signal?: AbortSignal): Promise<AssignmentList> {
    return this.call("list_assignments", request, signal);
  }

  /** Return a page of the review queue of an assignment, for teachers of its course. */
  listEvaluations(request: ListEvaluations, signal?: AbortSignal): Promise<EvaluationPage> {
    return this.call("list_evaluations", request, signal);
  }

  /** Return what the caller has achieved in an assignment, as of the newest merge. */
  myResults(request: GetAssignment, signal?: AbortSignal): Promise<MyResults> {
    return this.call("my_results", request, signal);
  }

  /** Give other points than a suggested evaluation, for teachers of the course; nothing is overwritten. */
  overrideEvaluation(request: OverrideEvaluation, signal?: AbortSignal): Promise<Decision> {
    return this.call("override_evaluation", request, signal);
  }

  /** Show on which recorded answers a rubric would be tried, and at what cost; for the course's teachers. */
  previewPilot(request: PreviewPilot, signal?: AbortSignal): Promise<PilotPreview> {
    return this.call("preview_pilot", request, signal);
  }

  /** Queue the recorded answers to a question that have no evaluation yet, or say what that would cost. */
  queueEvaluations(request: QueueEvaluations, signal?: AbortSignal): Promise<QueuedEvaluations> {
    return this.call("queue_evaluations", request, signal);
  }

  /** Erase once more, after a restore, whom the archive knows as erased; for admins. */
  reapplyErasures(request: ReapplyErasures, signal?: AbortSignal): Promise<ReapplyReply> {
    return this.call("reapply_erasures", request, signal);
  }

  /** Replay an assignment's history and compare it with what is live, or replace that; for its teachers. */
  rebuildAssignment(request: RebuildAssignment, signal?: AbortSignal): Promise<AssignmentRebuilt> {
    return this.call("rebuild_assignment", request, signal);
  }

  /** Try a rubric on the sample that was previewed, as far as time and budgets go; for teachers of the course. */
  runPilot(request: RunPilot, signal?: AbortSignal): Promise<PilotReport> {
    return this.call("run_pilot", request, signal);
  }

  /** Record one answer. 202: it is on record and will reach the assignment. */
  submitAnswer(request: SubmitAnswer, signal?: AbortSignal): Promise<AnswerAccepted> {
    return this.call("submit_answer", request, signal);
  }

  /** Record up to 50 answers; each has its own outcome, and duplicates are skipped. */
  submitAnswers(request: SubmitAnswers, signal?: AbortSignal): Promise<AnswerOutcomes> {
    return this.call("submit_answers", request, signal);
  }

  /** Switch the tutor's hints and explanations of an assignment on or off, for teachers of the course. */
  switchTutor(request: SwitchTutor, signal?: AbortSignal): Promise<TutorSwitched> {
    return this.call("switch_tutor", request, signal);
  }

  /** Say what a receipt of an erasure vouches for; for everybody who holds one. */
  verifyErasure(request: VerifyErasure, signal?: AbortSignal): Promise<Erased> {
    return this.call("verify_erasure", request, signal);
  }

  /** Say what a receipt vouches for; a 400 says that it was not issued here. */
  verifyReceipt(request: VerifyReceipt, signal?: AbortSignal): Promise<ReceiptVerified> {
    return this.call("verify_receipt", request, signal);
  }

  private stream<Message, Reply>(
    name: string,
    request: unknown,
    signal?: AbortSignal,
  ): Streamed<Message, Reply> {
    let resolve: (reply: Reply) => void;
    let reject: (error: unknown) => void;
    const result = new Promise<Reply>((resolved, rejected) => {
      resolve = resolved;
      reject = rejected;
    });
    result.catch(() => undefined);
    const events = this.events(name, request, signal);
    async function* messages(): AsyncGenerator<Message> {
      try {
        for await (const event of events) {
          if ("message" in event) {
            yield event.message as Message;
          } else if ("result" in event) {
            resolve(event.result as Reply);
            return;
          } else {
            const { status, message, details } = (event.error ?? {}) as {
              status?: string;
              message?: string;
              details?: Record<string, unknown>[];
            };
            throw new LecternError(status ?? "INTERNAL", message ?? "", 200, details ?? [], undefined);
          }
        }
        throw new LecternError("UNAVAILABLE", "the stream ended early", 200, [], undefined);
      } catch (error) {
        reject(error);
        throw error;
      }
    }
    const iterator = messages();
    return { result, [Symbol.asyncIterator]: () => iterator };
  }

  private async *events(
    name: string,
    request: unknown,
    signal?: AbortSignal,
  ): AsyncGenerator<Record<string, unknown>> {
    const token = await this.options.idToken();
    const headers: Record<string, string> = {
      "content-type": "application/json",
      accept: "text/event-stream",
    };
    if (token !== null) headers["authorization"] = `Bearer ${token}`;
    const send = this.options.fetch ?? fetch;
    const response = await send(`${this.options.baseUrl}/${name}`, {
      method: "POST",
      headers,
      body: JSON.stringify({ data: request }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (response.body === null) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const lines = (held + value).split("\n");
        held = lines.pop() ?? "";
        for (const line of lines) {
          if (line.startsWith("data: ")) yield JSON.parse(line.slice(6)) as Record<string, unknown>;
        }
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  private async call<Reply>(name: string, request: unknown, signal?: AbortSignal): Promise<Reply> {
    const token = await this.options.idToken();
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (token !== null) headers["authorization"] = `Bearer ${token}`;
    const send = this.options.fetch ?? fetch;
    const response = await send(`${this.options.baseUrl}/${name}`, {
      method: "POST",
      headers,
      body: JSON.stringify(request),
      ...(signal === undefined ? {} : { signal }),
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.ok) return body as Reply;
    const problem = (body ?? {}) as { type?: string; detail?: string; details?: Record<string, unknown>[] };
    const code = (problem.type ?? "urn:lectern:problem:internal").split(":").pop() ?? "internal";
    const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
    throw new LecternError(
      code.replaceAll("-", "_").toUpperCase(),
      problem.detail ?? `HTTP ${response.status}`,
      response.status,
      problem.details ?? [],
      Number.isNaN(retryAfter) ? undefined : retryAfter,
    );
  }
}
