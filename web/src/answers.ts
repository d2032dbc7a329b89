/**
 * Lectern in the browser: answers that cannot get lost, and live figures.
 *
 * ```ts
 * const lectern = createLectern({ auth: getAuth(app), firestore: getFirestore(app) });
 * const submission = lectern.submitAnswerEvent(assignmentId, questionId, { optionId: "b" });
 * submission.subscribe((state) => show(state)); // saving → acknowledged | queued → … | refused
 * const stop = lectern.onAssignment(assignmentId, (figures) => draw(figures.stats));
 * ```
 *
 * An answer is on this device's disk before it is sent. It is sent again, under the same submission
 * id, until the server has it or refuses it for good; the server counts an id once, so sending too
 * often is harmless. The queue survives reloads, is shared by all tabs, and hands an account's
 * answers to nobody else. Answers to one question leave in the order in which they were given.
 */

import { onAuthStateChanged, type Auth, type User } from "firebase/auth";
import type { Firestore } from "firebase/firestore";

import { delayAfter } from "./backoff";
import type { Answer, AssignmentFigures, OptionCounts } from "./contract";
import { eventIdOf, newSubmissionId } from "./identity";
import { watchAssignment, watchOptionCounts } from "./live";
import { Monitoring, type PerformanceStats, type Start } from "./monitoring";
import { openQueue, type AnswerQueue, type QueuedAnswer } from "./queue";
import {
  Delayed,
  FirestoreTransport,
  FunctionsTransport,
  Refused,
  type Transport,
  type TransportName,
  type Wait,
} from "./transports";

export type { ItemFigures, Reliability, Statistics } from "../client/lectern";
export type {
  Answer,
  AsOf,
  AssignmentFigures,
  LiveItemFigures,
  LiveStatistics,
  OptionCounts,
} from "./contract";
export type { Percentiles, PerformanceStats } from "./monitoring";
export type { TransportName, Wait } from "./transports";
export { eventIdOf } from "./identity";

export interface LecternOptions {
  /** Whoever is signed in here is whose answers are sent; its app names the project. */
  auth: Auth;
  /** Needed for live figures and for the Firestore transport; a function is called on first need. */
  firestore?: Firestore | (() => Promise<Firestore>);
  /**
   * Where functions are served as `/{project}/{region}/{name}`, as emulators do. Without it they are
   * at `https://{region}-{project}.cloudfunctions.net/{name}`.
   */
  functionsOrigin?: string;
  /** Defaults to `us-central1`. */
  region?: string;
  /** Which way answers take first. `functions`, the default, is the one that yields a receipt. */
  transport?: TransportName;
  /** Take the other way after a failure, under the same event id. Defaults to true. */
  fallback?: boolean;
  /** The App Check token to send along. */
  appCheckToken?: () => Promise<string>;
  /** Whether `window.__monitoring` is set. Defaults to true. */
  monitoring?: boolean;
}

export type SubmissionState =
  /** On its way for the first time. */
  | { status: "saving" }
  /** On this device and not yet on the server; tried again by itself. */
  | { status: "queued"; wait: Wait; nextAttemptAt: number }
  /** On record at the server. */
  | {
      status: "acknowledged";
      eventId: string;
      receipt: string | null;
      duplicate: boolean;
      via: TransportName;
      acknowledgedAt: number;
    }
  /** Never going to be taken. Stays on the device until `discard`. */
  | { status: "refused"; code: string; message: string };

/** One answer and where it is. */
export interface Submission {
  readonly submissionId: string;
  readonly assignmentId: string;
  readonly questionId: string;
  readonly answer: Answer;
  /** When the learner submitted it, by this device's clock; a retry does not change it. */
  readonly clientTime: Date;
  readonly state: SubmissionState;
  /** Calls *listener* now and at every change; returns how to stop that. */
  subscribe(listener: (state: SubmissionState) => void): () => void;
  /** The final state: acknowledged or refused. Offline, that may take days. */
  readonly settled: Promise<SubmissionState>;
}

export interface Lectern {
  /**
   * Hand over an answer; returns at once, while it is being saved and sent.
   *
   * Throws if nobody is signed in.
   */
  submitAnswerEvent(assignmentId: string, questionId: string, answer: Answer): Submission;
  /** This account's submissions: of this page, of other tabs, and those found in the queue. */
  submissions(): readonly Submission[];
  /** Calls *listener* whenever any of them appears, changes or goes; returns how to stop that. */
  onSubmissions(listener: (submissions: readonly Submission[]) => void): () => void;
  /**
   * Calls *onFigures* with an assignment's live figures, now and at every change.
   *
   * *onError* hears why there will be no more, for example `permission-denied`.
   */
  onAssignment(
    assignmentId: string,
    onFigures: (figures: AssignmentFigures) => void,
    onError?: (error: Error) => void,
  ): () => void;
  /**
   * Calls *onCounts* with how often each option was chosen, now and at every change.
   *
   * For teachers of the course: *onError* hears `permission-denied` for everybody else.
   */
  onOptionCounts(
    assignmentId: string,
    onCounts: (counts: OptionCounts) => void,
    onError?: (error: Error) => void,
  ): () => void;
  /** Try everything that waits for a connection now. */
  sendNow(): void;
  /** Forget an answer that was refused. */
  discard(submissionId: string): Promise<void>;
  getPerformanceStats(): PerformanceStats;
  /** Stop timers and listeners; what is queued stays on the device. */
  close(): void;
}

/** One per page and signed-in app. */
export function createLectern(options: LecternOptions): Lectern {
  return new Client(options);
}

class TrackedSubmission implements Submission {
  readonly settled: Promise<SubmissionState>;
  record: QueuedAnswer;
  /** Set where it was submitted; submissions found in the queue have no start that could be measured. */
  start: Start | null = null;
  #state: SubmissionState;
  #settle: (state: SubmissionState) => void = () => undefined;
  readonly #listeners = new Set<(state: SubmissionState) => void>();

  constructor(record: QueuedAnswer, state: SubmissionState) {
    this.record = record;
    this.#state = state;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    if (isFinal(state)) this.#settle(state);
  }

  get submissionId(): string {
    return this.record.submissionId;
  }

  get assignmentId(): string {
    return this.record.assignmentId;
  }

  get questionId(): string {
    return this.record.questionId;
  }

  get answer(): Answer {
    return this.record.answer;
  }

  get clientTime(): Date {
    return new Date(this.record.clientTime);
  }

  get state(): SubmissionState {
    return this.#state;
  }

  become(state: SubmissionState): void {
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
    if (isFinal(state)) this.#settle(state);
  }

  subscribe(listener: (state: SubmissionState) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#state);
    return () => this.#listeners.delete(listener);
  }
}

function isFinal(state: SubmissionState): boolean {
  return state.status === "acknowledged" || state.status === "refused";
}

/** What tabs tell one another. */
interface Notice {
  record: QueuedAnswer;
  state: SubmissionState | null;
}

const CHANNEL = "lectern-answers";

class Client implements Lectern {
  readonly #auth: Auth;
  readonly #firestore: (() => Promise<Firestore>) | null;
  readonly #transports: Transport[];
  readonly #queue: Promise<AnswerQueue> = openQueue();
  readonly #monitoring = new Monitoring();
  readonly #submissions = new Map<string, TrackedSubmission>();
  readonly #listeners = new Set<(submissions: readonly Submission[]) => void>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #lines = new Map<string, Promise<void>>();
  readonly #channel = new BroadcastChannel(CHANNEL);
  readonly #ended = new AbortController();
  #uid: string | null = null;

  constructor(options: LecternOptions) {
    this.#auth = options.auth;
    this.#firestore = firestoreOf(options.firestore);
    this.#transports = transportsOf(options, this.#firestore);
    const { signal } = this.#ended;
    const stop = onAuthStateChanged(this.#auth, (user) => void this.#accountChanged(user));
    signal.addEventListener("abort", stop);
    this.#channel.onmessage = (message: MessageEvent<Notice>) => this.#heard(message.data);
    window.addEventListener("online", () => this.sendNow(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.sendNow(), { signal });
    if (options.monitoring ?? true) {
      window.__monitoring = { getPerformanceStats: () => this.getPerformanceStats() };
    }
  }

  submitAnswerEvent(assignmentId: string, questionId: string, answer: Answer): Submission {
    const user = this.#auth.currentUser;
    if (user === null) throw new Error("nobody is signed in");
    const submission = new TrackedSubmission(
      {
        uid: user.uid,
        submissionId: newSubmissionId(),
        assignmentId,
        questionId,
        answer: structuredClone(answer),
        clientTime: Date.now(),
        failures: 0,
        wait: null,
        notBefore: 0,
        refusal: null,
      },
      { status: "saving" },
    );
    submission.start = this.#monitoring.submitted(assignmentId);
    this.#submissions.set(submission.submissionId, submission);
    this.#announce();
    void this.#keepAndSend(submission);
    return submission;
  }

  submissions(): readonly Submission[] {
    return [...this.#submissions.values()].filter((each) => each.record.uid === this.#uid);
  }

  onSubmissions(listener: (submissions: readonly Submission[]) => void): () => void {
    this.#listeners.add(listener);
    listener(this.submissions());
    return () => this.#listeners.delete(listener);
  }

  onAssignment(
    assignmentId: string,
    onFigures: (figures: AssignmentFigures) => void,
    onError: (error: Error) => void = () => undefined,
  ): () => void {
    const stop = watchAssignment(
      this.#neededFirestore(),
      assignmentId,
      (figures) => {
        this.#monitoring.figuresArrived(assignmentId, figures.asOf.events);
        onFigures(figures);
      },
      onError,
    );
    return () => {
      stop();
      this.#monitoring.unwatched(assignmentId);
    };
  }

  onOptionCounts(
    assignmentId: string,
    onCounts: (counts: OptionCounts) => void,
    onError: (error: Error) => void = () => undefined,
  ): () => void {
    return watchOptionCounts(this.#neededFirestore(), assignmentId, onCounts, onError);
  }

  sendNow(): void {
    void this.#sendAll();
  }

  async discard(submissionId: string): Promise<void> {
    const submission = this.#submissions.get(submissionId);
    if (submission?.state.status !== "refused") return;
    this.#submissions.delete(submissionId);
    this.#announce();
    await (await this.#queue).remove(submission.record);
    this.#tell({ record: submission.record, state: null });
  }

  getPerformanceStats(): PerformanceStats {
    const waiting = this.submissions().filter((each) => !isFinal(each.state)).length;
    return this.#monitoring.stats(waiting);
  }

  close(): void {
    this.#ended.abort();
    this.#channel.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#listeners.clear();
  }

  #neededFirestore(): () => Promise<Firestore> {
    if (this.#firestore === null) throw new Error("createLectern was given no firestore");
    return this.#firestore;
  }

  async #accountChanged(user: User | null): Promise<void> {
    this.#uid = user?.uid ?? null;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    if (user === null) {
      this.#announce();
      return;
    }
    for (const record of await (await this.#queue).of(user.uid)) this.#track(record);
    this.#announce();
    await this.#sendAll();
  }

  /** A record from the queue or from another tab becomes visible here. */
  #track(record: QueuedAnswer): TrackedSubmission {
    const known = this.#submissions.get(record.submissionId);
    if (known) {
      known.record = record;
      return known;
    }
    const submission = new TrackedSubmission(
      record,
      record.refusal
        ? { status: "refused", ...record.refusal }
        : { status: "queued", wait: record.wait ?? "unavailable", nextAttemptAt: record.notBefore },
    );
    this.#submissions.set(record.submissionId, submission);
    return submission;
  }

  async #keepAndSend(submission: TrackedSubmission): Promise<void> {
    submission.record = await (await this.#queue).add(submission.record);
    this.#tell({ record: submission.record, state: submission.state });
    await this.#sendLine(lineOf(submission.record), { early: true });
  }

  /** Send everything that waits, without waiting for its time unless the server set that. */
  async #sendAll(): Promise<void> {
    if (this.#uid === null) return;
    const records = await (await this.#queue).of(this.#uid);
    const lines = new Set(records.filter((record) => record.refusal === null).map(lineOf));
    await Promise.all([...lines].map((line) => this.#sendLine(line, { early: true })));
  }

  /** Send what waits in one line, oldest first, up to the first that cannot go now. */
  async #sendLine(line: string, { early = false } = {}): Promise<void> {
    await this.#inLine(line, async () => {
      for (;;) {
        const uid = this.#uid;
        if (uid === null || this.#ended.signal.aborted) return;
        const waiting = (await (await this.#queue).of(uid)).filter(
          (record) => lineOf(record) === line && record.refusal === null,
        );
        const [next, ...behind] = waiting;
        if (next === undefined) return;
        const dueAt = early && next.wait !== "throttled" ? 0 : next.notBefore;
        if (dueAt > Date.now()) this.#wake(line, dueAt);
        else if (await this.#attempt(this.#track(next))) continue;
        this.#hold([next, ...behind]);
        return;
      }
    });
  }

  /** The first of *records* waits, and so do those behind it. */
  #hold(records: QueuedAnswer[]): void {
    const [first, ...behind] = records.map(({ submissionId }) => this.#submissions.get(submissionId));
    if (first?.state.status !== "queued") return;
    for (const submission of behind) {
      if (submission?.state.status === "saving") this.#become(submission, first.state);
    }
  }

  /** One tab at a time works on a line; the others wait their turn and then find it empty. */
  async #inLine(line: string, work: () => Promise<unknown>): Promise<void> {
    if ("locks" in navigator) {
      await navigator.locks.request(`${CHANNEL}:${line}`, async () => void (await work()));
      return;
    }
    const before = this.#lines.get(line) ?? Promise.resolve();
    const turn = before.then(async () => void (await work()));
    this.#lines.set(
      line,
      turn.catch(() => undefined),
    );
    await turn;
  }

  /** Try *submission* once; whether it is settled, so that the next in its line may go. */
  async #attempt(submission: TrackedSubmission): Promise<boolean> {
    const user = this.#auth.currentUser;
    const { record } = submission;
    // Somebody else may have signed in since; this answer waits for its own account.
    if (user?.uid !== record.uid) return false;
    const queue = await this.#queue;
    const transport = this.#transportFor(record);
    try {
      const eventId = await eventIdOf(record.assignmentId, record.uid, record.questionId, record.submissionId);
      const taken = await transport.send(record, eventId, user);
      await queue.remove(record);
      this.#monitoring.acknowledged(record, submission.start, taken.duplicate);
      const acknowledgedAt = Date.now();
      this.#become(submission, { status: "acknowledged", ...taken, via: transport.name, acknowledgedAt });
      return true;
    } catch (error) {
      if (error instanceof Refused) {
        const refusal = { code: error.code, message: error.message };
        submission.record = { ...record, refusal };
        await queue.update(submission.record);
        this.#monitoring.refused();
        this.#become(submission, { status: "refused", ...refusal });
        return true;
      }
      if (!(error instanceof Delayed)) throw error;
      const failures = record.failures + 1;
      const notBefore = Date.now() + delayAfter(failures, error.retryAfterMs, Math.random);
      submission.record = { ...record, failures, wait: error.wait, notBefore };
      await queue.update(submission.record);
      this.#monitoring.retried();
      this.#become(submission, { status: "queued", wait: error.wait, nextAttemptAt: notBefore });
      this.#wake(lineOf(record), notBefore);
      return false;
    }
  }

  /** The preferred way; the other one in turn while the server cannot be reached. */
  #transportFor({ wait, failures }: QueuedAnswer): Transport {
    const turn = wait === "unavailable" ? failures % this.#transports.length : 0;
    return this.#transports[turn] as Transport;
  }

  #wake(line: string, at: number): void {
    clearTimeout(this.#timers.get(line));
    const timer = setTimeout(
      () => {
        this.#timers.delete(line);
        void this.#sendLine(line);
      },
      Math.max(0, at - Date.now()),
    );
    this.#timers.set(line, timer);
  }

  #become(submission: TrackedSubmission, state: SubmissionState): void {
    submission.become(state);
    this.#announce();
    this.#tell({ record: submission.record, state });
  }

  #tell(notice: Notice): void {
    if (!this.#ended.signal.aborted) this.#channel.postMessage(notice);
  }

  #heard({ record, state }: Notice): void {
    if (record.uid !== this.#uid) return;
    if (state === null) this.#submissions.delete(record.submissionId);
    else this.#track(record).become(state);
    this.#announce();
  }

  #announce(): void {
    const submissions = this.submissions();
    for (const listener of [...this.#listeners]) listener(submissions);
  }
}

/** Answers of one account to one question: they are sent one after the other. */
function lineOf(record: QueuedAnswer): string {
  return JSON.stringify([record.uid, record.assignmentId, record.questionId]);
}

function firestoreOf(given: LecternOptions["firestore"]): (() => Promise<Firestore>) | null {
  if (given === undefined) return null;
  return typeof given === "function" ? given : async () => given;
}

function transportsOf(options: LecternOptions, firestore: (() => Promise<Firestore>) | null): Transport[] {
  const { auth, functionsOrigin, region = "us-central1", transport = "functions", fallback = true } = options;
  const { projectId } = auth.app.options;
  const baseUrl = functionsOrigin
    ? `${functionsOrigin}/${projectId}/${region}`
    : `https://${region}-${projectId}.cloudfunctions.net`;
  const all: Transport[] = [new FunctionsTransport(baseUrl, options.appCheckToken)];
  if (firestore !== null) all.push(new FirestoreTransport(auth, firestore));
  const preferred = all.filter((each) => each.name === transport);
  if (preferred.length === 0) throw new Error("the firestore transport needs a firestore");
  return fallback ? [...preferred, ...all.filter((each) => each.name !== transport)] : preferred;
}
