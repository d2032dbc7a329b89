/** An assignment's figures as they change. */

import type { DocumentData, Firestore } from "firebase/firestore";

import type { AssignmentFigures } from "./contract";

/** Listen to `assignments/{assignmentId}`; Firestore is loaded on first use. */
export function watchAssignment(
  firestore: () => Promise<Firestore>,
  assignmentId: string,
  onFigures: (figures: AssignmentFigures) => void,
  onError: (error: Error) => void,
): () => void {
  let stop: () => void = () => undefined;
  let stopped = false;
  const start = async (): Promise<void> => {
    const [{ doc, onSnapshot }, database] = await Promise.all([import("./firestore"), firestore()]);
    if (stopped) return;
    stop = onSnapshot(
      doc(database, "assignments", assignmentId),
      (snapshot) => {
        const data = snapshot.data();
        if (data !== undefined) onFigures(figuresOf(assignmentId, data));
        else if (!snapshot.metadata.fromCache) onError(new Error("not-found"));
      },
      onError,
    );
  };
  start().catch(onError);
  return () => {
    stopped = true;
    stop();
  };
}

/** The document with every part that a fresh assignment may still lack. */
function figuresOf(assignmentId: string, data: DocumentData): AssignmentFigures {
  const { stats = {}, asOf = {} } = data;
  return {
    assignmentId,
    courseId: data.courseId ?? "",
    title: data.title ?? "",
    questionCount: data.questionCount ?? 0,
    formVersion: data.formVersion ?? 1,
    stats: {
      students: stats.students ?? 0,
      answers: stats.answers ?? 0,
      questions: stats.questions ?? {},
      reliability: stats.reliability ?? { alpha: null, students: 0 },
    },
    asOf: { events: asOf.events ?? 0, pending: asOf.pending ?? 0, at: asOf.at?.toDate?.() ?? null },
  };
}
