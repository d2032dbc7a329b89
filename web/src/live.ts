/** An assignment's figures as they change. */

import type { DocumentData, DocumentSnapshot, Firestore } from "firebase/firestore";

import type { AsOf, AssignmentFigures, OptionCounts } from "./contract";

/** Listen to `assignments/{assignmentId}`; Firestore is loaded on first use. */
export function watchAssignment(
  firestore: () => Promise<Firestore>,
  assignmentId: string,
  onFigures: (figures: AssignmentFigures) => void,
  onError: (error: Error) => void,
): () => void {
  return watch(firestore, ["assignments", assignmentId], onError, (snapshot) => {
    const data = snapshot.data();
    if (data !== undefined) onFigures(figuresOf(assignmentId, data));
    else if (!snapshot.metadata.fromCache) onError(new Error("not-found"));
  });
}

/** Listen to `assignments/{assignmentId}/figures/options`, which is not there before the first answer. */
export function watchOptionCounts(
  firestore: () => Promise<Firestore>,
  assignmentId: string,
  onCounts: (counts: OptionCounts) => void,
  onError: (error: Error) => void,
): () => void {
  return watch(firestore, ["assignments", assignmentId, "figures", "options"], onError, (snapshot) => {
    const { questions = {}, asOf } = snapshot.data() ?? {};
    onCounts({ assignmentId, questions, asOf: freshnessOf(asOf) });
  });
}

function watch(
  firestore: () => Promise<Firestore>,
  [collection, ...path]: [string, ...string[]],
  onError: (error: Error) => void,
  onNext: (snapshot: DocumentSnapshot) => void,
): () => void {
  let stop: () => void = () => undefined;
  let stopped = false;
  const start = async (): Promise<void> => {
    const [{ doc, onSnapshot }, database] = await Promise.all([import("./firestore"), firestore()]);
    if (stopped) return;
    stop = onSnapshot(doc(database, collection, ...path), onNext, onError);
  };
  start().catch(onError);
  return () => {
    stopped = true;
    stop();
  };
}

/** The document with every part that a fresh assignment may still lack. */
function figuresOf(assignmentId: string, data: DocumentData): AssignmentFigures {
  const { stats = {} } = data;
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
    asOf: freshnessOf(data.asOf),
  };
}

function freshnessOf(asOf: DocumentData = {}): AsOf {
  return { events: asOf.events ?? 0, pending: asOf.pending ?? 0, at: asOf.at?.toDate?.() ?? null };
}
