/** Shapes that more than one part of the browser side needs, on top of the generated client's. */

import type { Statistics, SubmitAnswer } from "../client/lectern";

/** An answer; which shape fits depends on the question's type. */
export type Answer = SubmitAnswer["answer"];

/** `assignments/{assignmentId}`, the document that browsers listen to. */
export interface AssignmentFigures {
  assignmentId: string;
  courseId: string;
  title: string;
  questionCount: number;
  formVersion: number;
  stats: Statistics;
  asOf: {
    /** Answers merged into the figures. */
    events: number;
    /** Answers known to wait. */
    pending: number;
    /** When the figures were computed; null before the first answer. */
    at: Date | null;
  };
}
