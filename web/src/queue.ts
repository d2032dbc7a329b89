/**
 * Answers that are not yet on the server, kept where a reload, a crash or a flat battery finds them.
 *
 * One IndexedDB store for all tabs and all accounts of this device; every record belongs to the
 * account that wrote it and is only ever handed out to that account.
 */

import type { Answer } from "./contract";
import type { Wait } from "./transports";

const DATABASE = "lectern-answers";
const STORE = "submissions";

export interface QueuedAnswer {
  /** Given by the database, in the order of submission across tabs. */
  order?: number;
  uid: string;
  submissionId: string;
  assignmentId: string;
  questionId: string;
  answer: Answer;
  /** When the learner submitted it by this device's clock, in milliseconds; never changed by a retry. */
  clientTime: number;
  /** Failed attempts so far. */
  failures: number;
  /** What the last of them failed for; null before the first. */
  wait: Wait | null;
  /** Not to be tried before this time, in milliseconds. */
  notBefore: number;
  /** Why the server will never take it; kept until the learner has dealt with it. */
  refusal: { code: string; message: string } | null;
}

/** Nothing here fails: where the disk does, an answer is at worst sent again, and counts once. */
export interface AnswerQueue {
  add(answer: QueuedAnswer): Promise<QueuedAnswer>;
  update(answer: QueuedAnswer): Promise<void>;
  remove(answer: QueuedAnswer): Promise<void>;
  /** Everything that *uid* wrote and that is still here, oldest first. */
  of(uid: string): Promise<QueuedAnswer[]>;
}

/** The device's queue; what the disk does not take (full, or a private window) is kept in memory. */
export async function openQueue(): Promise<AnswerQueue> {
  const database = await openDatabase().catch(() => null);
  return new DeviceQueue(database);
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      const store = request.result.createObjectStore(STORE, { keyPath: "order", autoIncrement: true });
      store.createIndex("uid", "uid");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

class DeviceQueue implements AnswerQueue {
  readonly #database: IDBDatabase | null;
  /** Under negative orders, so that none meets one of the database's. */
  readonly #unstored = new Map<number, QueuedAnswer>();

  /** What the disk did not take of changes to what it has: without it, a sent answer would be sent for ever. */
  readonly #changed = new Map<number, QueuedAnswer | "removed">();

  constructor(database: IDBDatabase | null) {
    this.#database = database;
  }

  async add(answer: QueuedAnswer): Promise<QueuedAnswer> {
    try {
      const order = await this.#within("readwrite", (store) => store.add(answer));
      return { ...answer, order: order as number };
    } catch {
      const held = { ...answer, order: -1 - this.#unstored.size - Math.random() };
      this.#unstored.set(held.order, held);
      return held;
    }
  }

  async update(answer: QueuedAnswer): Promise<void> {
    if (answer.order === undefined) return;
    if (answer.order < 0) this.#unstored.set(answer.order, answer);
    else await this.#change(answer.order, answer, (store) => store.put(answer));
  }

  async remove({ order }: QueuedAnswer): Promise<void> {
    if (order === undefined || this.#unstored.delete(order)) return;
    await this.#change(order, "removed", (store) => store.delete(order));
  }

  async #change(
    order: number,
    change: QueuedAnswer | "removed",
    work: (store: IDBObjectStore) => IDBRequest,
  ): Promise<void> {
    try {
      await this.#within("readwrite", work);
      this.#changed.delete(order);
    } catch {
      this.#changed.set(order, change);
    }
  }

  async of(uid: string): Promise<QueuedAnswer[]> {
    const held = [...this.#unstored.values()].filter((answer) => answer.uid === uid);
    const stored = await this.#within<QueuedAnswer[]>("readonly", (store) =>
      store.index("uid").getAll(uid),
    ).catch(() => []);
    const current = stored.map((answer) => this.#changed.get(answer.order ?? 0) ?? answer);
    return [...current.filter((answer) => answer !== "removed"), ...held];
  }

  #within<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#database === null) throw new Error("this browser keeps no database");
      // strict: on the disk, and not merely handed to the operating system, before it is sent.
      const transaction = this.#database.transaction(STORE, mode, { durability: "strict" });
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  }
}
