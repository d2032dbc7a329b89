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

export interface ClientOptions {
  /** Where the functions are, without the function's name: `https://REGION-PROJECT.cloudfunctions.net`. */
  readonly baseUrl: string;
  /** Resolves to the signed-in user's ID token, or null. */
  readonly idToken: () => Promise<string | null>;
  readonly fetch?: typeof fetch;
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

/** An assignment as learners see it: without keys, options in an order that tells nothing. */
export interface AssignmentForm {
  readonly assignmentId: string;
  readonly courseId: string;
  readonly title: string;
  readonly policy: GradingPolicy;
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

/** The right side of a pair in a matching question; may belong to no stem or to several. */
export interface Choice {
  readonly choiceId: string;
  readonly text: RichText;
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

/** Who becomes what, in which course. */
export interface EnrollLearner {
  readonly courseId: string;
  readonly learnerId: string;
  readonly role?: CourseRole;
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

/** A page of the gradebook: from the beginning, or from where another page ended. */
export interface GetGradebook {
  readonly assignmentId: string;
  readonly pageSize?: number;
  readonly cursor?: string | null;
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

/** A question set in one of three formats (``docs/import.md``), and how it is to be graded. */
export interface ImportAssignment {
  readonly courseId: string;
  readonly title: string;
  readonly format: "gift" | "csv" | "json";
  readonly source: string;
  readonly policy?: GradingPolicy;
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
}

/** Of which course. */
export interface ListAssignments {
  readonly courseId: string;
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

/** ``{"pairs": {"<stemId>": "<choiceId>"}}``: matching; unanswered stems may be absent. */
export interface PairsResponse {
  readonly pairs: Readonly<Record<string, string>>;
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

/** Something in the source that the assignment does not have; positions from 1. */
export interface SkippedPart {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
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

/** A receipt, as ``submit_answer`` gave it. */
export interface VerifyReceipt {
  readonly receipt: string;
}

/** Every function that clients call; each may throw a LecternError. */
export class LecternClient {
  constructor(private readonly options: ClientOptions) {}

  /** Create a course; the caller becomes its teacher. */
  createCourse(request: CreateCourse, signal?: AbortSignal): Promise<CourseCreated> {
    return this.call("create_course", request, signal);
  }

  /** Make somebody a member of a course that the caller teaches; safe to repeat. */
  enrollLearner(request: EnrollLearner, signal?: AbortSignal): Promise<LearnerEnrolled> {
    return this.call("enroll_learner", request, signal);
  }

  /** Return an assignment's questions, without their keys. */
  getAssignment(request: GetAssignment, signal?: AbortSignal): Promise<AssignmentForm> {
    return this.call("get_assignment", request, signal);
  }

  /** Return an assignment's figures as they were at a past moment; for its teachers. */
  getAssignmentAsOf(request: GetAssignmentAsOf, signal?: AbortSignal): Promise<AssignmentAsOf> {
    return this.call("get_assignment_as_of", request, signal);
  }

  /** Return a page of everybody's scores, for teachers of the course. */
  getGradebook(request: GetGradebook, signal?: AbortSignal): Promise<Gradebook> {
    return this.call("get_gradebook", request, signal);
  }

  /** Create an assignment from a question set; all of it, or nothing and the positions of what is wrong. */
  importAssignment(request: ImportAssignment, signal?: AbortSignal): Promise<AssignmentImported> {
    return this.call("import_assignment", request, signal);
  }

  /** Return the assignments of a course, newest first. */
  listAssignments(request: ListAssignments, signal?: AbortSignal): Promise<AssignmentList> {
    return this.call("list_assignments", request, signal);
  }

  /** Return what the caller has achieved in an assignment, as of the newest merge. */
  myResults(request: GetAssignment, signal?: AbortSignal): Promise<MyResults> {
    return this.call("my_results", request, signal);
  }

  /** Replay an assignment's history and compare it with what is live, or replace that; for its teachers. */
  rebuildAssignment(request: RebuildAssignment, signal?: AbortSignal): Promise<AssignmentRebuilt> {
    return this.call("rebuild_assignment", request, signal);
  }

  /** Record one answer. 202: it is on record and will reach the assignment. */
  submitAnswer(request: SubmitAnswer, signal?: AbortSignal): Promise<AnswerAccepted> {
    return this.call("submit_answer", request, signal);
  }

  /** Record up to 50 answers; each has its own outcome, and duplicates are skipped. */
  submitAnswers(request: SubmitAnswers, signal?: AbortSignal): Promise<AnswerOutcomes> {
    return this.call("submit_answers", request, signal);
  }

  /** Say what a receipt vouches for; a 400 says that it was not issued here. */
  verifyReceipt(request: VerifyReceipt, signal?: AbortSignal): Promise<ReceiptVerified> {
    return this.call("verify_receipt", request, signal);
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
