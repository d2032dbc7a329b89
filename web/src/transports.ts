/** The two ways of an answer to the server; both record it under the same event id. */

import type { Auth, User } from "firebase/auth";
import type { Firestore } from "firebase/firestore";

import { LecternClient, LecternError, type AnswerAccepted } from "../client/lectern";
import type { QueuedAnswer } from "./queue";

const DEADLINE_MS = 15_000;

export type TransportName = "functions" | "firestore";

/** Why an answer waits. */
export type Wait = "offline" | "unavailable" | "throttled" | "signedOut";

export interface Taken {
  eventId: string;
  /** The server's signed receipt; null for an answer that the browser wrote to Firestore itself. */
  receipt: string | null;
  duplicate: boolean;
}

/** Asking again may help. */
export class Delayed extends Error {
  constructor(
    readonly wait: Wait,
    readonly retryAfterMs: number | null = null,
  ) {
    super(wait);
  }
}

/** Asking again gives the same answer. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Transport {
  readonly name: TransportName;
  /**
   * Put *answer* on record as *eventId*.
   *
   * Throws `Delayed` or `Refused`, nothing else.
   */
  send(answer: QueuedAnswer, eventId: string, user: User): Promise<Taken>;
}

/** `submit_answer` over HTTP. */
export class FunctionsTransport implements Transport {
  readonly name = "functions";
  readonly #baseUrl: string;
  readonly #appCheckToken: (() => Promise<string>) | undefined;

  constructor(baseUrl: string, appCheckToken?: () => Promise<string>) {
    this.#baseUrl = baseUrl;
    this.#appCheckToken = appCheckToken;
  }

  async send(answer: QueuedAnswer, eventId: string, user: User): Promise<Taken> {
    try {
      const accepted = await this.#submit(answer, user, false).catch((error: unknown) => {
        // A token can expire, or be revoked and renewed, between two answers: one fresh one is tried.
        if (error instanceof LecternError && error.status === 401) return this.#submit(answer, user, true);
        throw error;
      });
      // A captive portal answers 200 as well; only the event's own id is an acknowledgement.
      if (accepted?.eventId !== eventId) throw new Delayed("unavailable");
      return { eventId, receipt: accepted.receipt, duplicate: accepted.duplicate };
    } catch (error) {
      throw error instanceof LecternError ? meaningOf(error) : delayedBy(error);
    }
  }

  /** The reply, or null where something answered that is not ours. */
  #submit(answer: QueuedAnswer, user: User, fresh: boolean): Promise<AnswerAccepted | null> {
    const client = new LecternClient({
      baseUrl: this.#baseUrl,
      idToken: () => user.getIdToken(fresh),
      fetch: async (url, init) => {
        const headers = new Headers(init?.headers);
        if (this.#appCheckToken) headers.set("x-firebase-appcheck", await this.#appCheckToken());
        return await fetch(url, { ...init, headers });
      },
    });
    const { assignmentId, questionId, submissionId } = answer;
    const request = { assignmentId, questionId, submissionId, answer: answer.answer };
    return client.submitAnswer(request, AbortSignal.timeout(DEADLINE_MS));
  }
}

const PASSING = new Set(["ABORTED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"]);

/** What an error reply means for the answer that met it; a 4xx that does not speak our language, nothing. */
function meaningOf({ code, message, status, retryAfterSeconds }: LecternError): Delayed | Refused {
  const wish = retryAfterSeconds === undefined ? null : retryAfterSeconds * 1_000;
  if (status === 401) return new Delayed("signedOut");
  if (status === 429) return new Delayed("throttled", wish);
  if (status >= 500 || PASSING.has(code)) return new Delayed("unavailable", wish);
  return new Refused(code.toLowerCase().replaceAll("_", "-"), message);
}

/** `browserAnswers/{eventId}`, written by the Firestore SDK under firestore.rules. */
export class FirestoreTransport implements Transport {
  readonly name = "firestore";
  readonly #auth: Auth;
  readonly #firestore: () => Promise<Firestore>;

  constructor(auth: Auth, firestore: () => Promise<Firestore>) {
    this.#auth = auth;
    this.#firestore = firestore;
  }

  async send(answer: QueuedAnswer, eventId: string, user: User): Promise<Taken> {
    try {
      return await within(DEADLINE_MS, this.#create(answer, eventId));
    } catch (error) {
      if (error instanceof Delayed) throw error;
      if (codeOf(error) !== "permission-denied") throw delayedBy(error);
      // The rules deny a second create. Whether the first one is there, its writer may see; if the
      // server took it up and away in between, creating it again is allowed and counts once.
      if (this.#auth.currentUser?.uid !== user.uid) throw new Delayed("signedOut");
      if (await this.#exists(eventId)) return { eventId, receipt: null, duplicate: true };
      try {
        return await within(DEADLINE_MS, this.#create(answer, eventId));
      } catch (second) {
        if (second instanceof Delayed) throw second;
        if (codeOf(second) !== "permission-denied") throw delayedBy(second);
        throw new Refused("permission-denied", "the security rules do not allow this answer");
      }
    }
  }

  /**
   * A transaction that reads nothing: one commit over HTTP that succeeds or fails now. `setDoc` would
   * wait in the SDK's own queue, which a reload forgets and which does not know whose answers it holds.
   */
  async #create(answer: QueuedAnswer, eventId: string): Promise<Taken> {
    const { doc, runTransaction, serverTimestamp } = await import("./firestore");
    const firestore = await this.#firestore();
    await runTransaction(
      firestore,
      async (transaction) => {
        transaction.set(doc(firestore, "browserAnswers", eventId), {
          assignmentId: answer.assignmentId,
          questionId: answer.questionId,
          studentId: answer.uid,
          submissionId: answer.submissionId,
          answer: answer.answer,
          submittedAt: serverTimestamp(),
        });
      },
      { maxAttempts: 1 },
    );
    return { eventId, receipt: null, duplicate: false };
  }

  async #exists(eventId: string): Promise<boolean> {
    const { doc, getDocFromServer } = await import("./firestore");
    try {
      const found = await within(DEADLINE_MS, getDocFromServer(doc(await this.#firestore(), "browserAnswers", eventId)));
      return found.exists();
    } catch (error) {
      if (codeOf(error) === "permission-denied") return false;
      throw delayedBy(error);
    }
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

const GONE = new Set([
  "auth/user-disabled",
  "auth/user-not-found",
  "auth/user-token-expired",
  "auth/invalid-user-token",
  "unauthenticated",
]);
const FINAL = new Set(["invalid-argument", "not-found", "out-of-range", "unimplemented"]);

/** What an error of fetch, Auth or Firestore means for the answer that met it. */
function delayedBy(error: unknown): Delayed | Refused {
  if (error instanceof Delayed || error instanceof Refused) return error;
  const code = codeOf(error);
  if (GONE.has(code)) return new Delayed("signedOut");
  if (code === "resource-exhausted") return new Delayed("throttled");
  if (FINAL.has(code)) return new Refused(code, error instanceof Error ? error.message : "");
  return new Delayed(navigator.onLine ? "unavailable" : "offline");
}

function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Delayed("unavailable")), milliseconds);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
