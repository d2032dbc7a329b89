/** How answering feels on this device, in numbers. */

import type { QueuedAnswer } from "./queue";

const KEPT = 1_000;

export interface Percentiles {
  count: number;
  p50: number | null;
  p95: number | null;
}

export interface PerformanceStats {
  submitted: number;
  acknowledged: number;
  /** Acknowledgements of an answer that was on record already. */
  duplicates: number;
  refused: number;
  /** Attempts that failed and were, or will be, repeated. */
  retries: number;
  /** On this device and not yet on the server. */
  waiting: number;
  /** From submitting to the server's acknowledgement, in milliseconds; answers given offline apart. */
  acknowledgementMs: Percentiles;
  /**
   * From submitting until the answer is acknowledged and the watched live figures count more answers
   * than they did, in milliseconds. While classmates answer too, the first to count may be theirs.
   */
  visibilityMs: Percentiles;
}

declare global {
  interface Window {
    /** Set by `createLectern` unless told otherwise. */
    __monitoring?: { getPerformanceStats(): PerformanceStats };
  }
}

/** The moment of a submission, and how many answers the live figures counted then, if watched. */
export interface Start {
  at: number;
  eventsBefore: number | null;
}

interface Watched {
  assignmentId: string;
  at: number;
  eventsBefore: number;
}

/** Counts and times of one page's answers; keeps the last thousand of each time. */
export class Monitoring {
  readonly #acknowledgements: number[] = [];
  readonly #visibilities: number[] = [];
  readonly #events = new Map<string, number>();
  #watched: Watched[] = [];
  #counts = { submitted: 0, acknowledged: 0, duplicates: 0, refused: 0, retries: 0 };

  submitted(assignmentId: string): Start {
    this.#counts.submitted += 1;
    return { at: performance.now(), eventsBefore: this.#events.get(assignmentId) ?? null };
  }

  retried(): void {
    this.#counts.retries += 1;
  }

  refused(): void {
    this.#counts.refused += 1;
  }

  acknowledged({ assignmentId, wait }: QueuedAnswer, start: Start | null, duplicate: boolean): void {
    this.#counts.acknowledged += 1;
    if (duplicate) this.#counts.duplicates += 1;
    if (start === null || wait === "offline") return;
    keep(this.#acknowledgements, performance.now() - start.at);
    const { at, eventsBefore } = start;
    if (eventsBefore === null || duplicate) return;
    this.#watched.push({ assignmentId, at, eventsBefore });
    const events = this.#events.get(assignmentId);
    if (events !== undefined) this.figuresArrived(assignmentId, events);
  }

  figuresArrived(assignmentId: string, events: number): void {
    this.#events.set(assignmentId, events);
    this.#watched = this.#watched.filter((each) => {
      if (each.assignmentId !== assignmentId || events <= each.eventsBefore) return true;
      keep(this.#visibilities, performance.now() - each.at);
      return false;
    });
  }

  unwatched(assignmentId: string): void {
    this.#events.delete(assignmentId);
    this.#watched = this.#watched.filter((each) => each.assignmentId !== assignmentId);
  }

  stats(waiting: number): PerformanceStats {
    return {
      ...this.#counts,
      waiting,
      acknowledgementMs: percentiles(this.#acknowledgements),
      visibilityMs: percentiles(this.#visibilities),
    };
  }
}

function keep(times: number[], time: number): void {
  times.push(time);
  if (times.length > KEPT) times.shift();
}

function percentiles(times: number[]): Percentiles {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number | null => {
    const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
    return value === undefined ? null : Math.round(value * 10) / 10;
  };
  return { count: sorted.length, p50: at(0.5), p95: at(0.95) };
}
