/** What travels between a browser and the functions, as far as these pages need it. */

/** An answer; which shape fits depends on the question's type. */
export type Answer =
  | { optionId: string }
  | { optionIds: string[] }
  | { value: boolean }
  | { number: number }
  | { text: string }
  | { pairs: Record<string, string> };

export type QuestionType =
  | "singleChoice"
  | "multipleChoice"
  | "trueFalse"
  | "numeric"
  | "shortText"
  | "matching"
  | "essay"
  | "description";

/** Untrusted text and its mark-up; see page/rich.ts for how it is shown. */
export interface RichText {
  format: "moodle" | "plain" | "html" | "markdown";
  text: string;
}

/** A question as learners see it, without its key. */
export interface Question {
  questionId: string;
  type: QuestionType;
  name: string;
  text: RichText;
  /** In points; a decimal in text where the server keeps its digits. */
  weight: number | string;
  options?: { optionId: string; text: RichText }[];
  stems?: { stemId: string; text: RichText }[];
  choices?: { choiceId: string; text: RichText }[];
}

export interface Assignment {
  assignmentId: string;
  courseId: string;
  title: string;
  questions: Question[];
}

export interface AssignmentList {
  assignments: { assignmentId: string; title: string; questionCount: number }[];
}

export interface AnswerReceipt {
  eventId: string;
  receipt: string;
  duplicate: boolean;
}

export interface MyResults {
  assignmentId: string;
  score: number;
  maxScore: number;
  answers: {
    questionId: string;
    response: Answer | null;
    /** Share of full credit, 0 to 1; null while a person has yet to grade it. */
    credit: number | null;
    attempts: number;
    submittedAt: string;
    feedback: RichText[];
  }[];
}

export interface GradebookPage {
  rows: {
    studentId: string;
    score: number;
    maxScore: number;
    answered: number;
    attempts: number;
  }[];
  nextCursor: string | null;
}

export interface ImportReply {
  assignmentId: string;
  questions: { questionId: string; name: string; type: QuestionType }[];
  skipped: { line: number; column: number; reason: string }[];
}

export interface RebuildReply {
  identical: boolean;
  digest: string;
  events: number;
}

/** The figures of one question. */
export interface QuestionFigures {
  answered: number;
  correct: number;
  /** Mean share of full credit, 0 to 1; null before anybody answered. */
  facility: number | null;
  /** Corrected item-total correlation, -1 to 1; null where it is undefined. */
  discrimination: number | null;
  /** How often each option was chosen. */
  options?: Record<string, number>;
}

/** `assignments/{assignmentId}`, the document that browsers listen to. */
export interface AssignmentFigures {
  assignmentId: string;
  courseId: string;
  title: string;
  questionCount: number;
  formVersion: number;
  stats: {
    students: number;
    answers: number;
    questions: Record<string, QuestionFigures>;
    reliability: { alpha: number | null; students: number };
  };
  asOf: {
    events: number;
    pending: number;
    /** When the figures were computed; null before the first answer. */
    at: Date | null;
  };
}
