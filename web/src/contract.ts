/** Shapes that more than one part of the browser side needs, on top of the generated client's. */

import type { ItemFigures, Statistics, SubmitAnswer } from "../client/lectern";

/** An answer; which shape fits depends on the question's type. */
export type Answer = SubmitAnswer["answer"];

/** How fresh figures are. */
export interface AsOf {
  /** Answers merged into the figures. */
  events: number;
  /** Answers known to wait. */
  pending: number;
  /** When the figures were computed; null before the first answer. */
  at: Date | null;
}

/** What every member of the course may see of a question's figures. */
export type LiveItemFigures = Omit<ItemFigures, "options">;

/** What every member of the course may see of an assignment's figures. */
export interface LiveStatistics extends Omit<Statistics, "questions"> {
  questions: Readonly<Record<string, LiveItemFigures>>;
}

/** `assignments/{assignmentId}`, the document that browsers listen to. */
export interface AssignmentFigures {
  assignmentId: string;
  courseId: string;
  title: string;
  questionCount: number;
  formVersion: number;
  stats: LiveStatistics;
  asOf: AsOf;
}

/** `assignments/{assignmentId}/figures/options`, which only the course's teachers may read. */
export interface OptionCounts {
  assignmentId: string;
  /** By question and option, how often it was chosen; of matching, by stem, how often it was matched rightly. */
  questions: Readonly<Record<string, Readonly<Record<string, number>>>>;
  asOf: AsOf;
}
