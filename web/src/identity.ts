/** Names that a browser gives: submissions at random, events by derivation. */

/** A fresh submission id: 128 random bits, 22 characters of base64url. */
export function newSubmissionId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/**
 * The id under which an answer is on record, whichever way it travelled.
 *
 * SHA-256 over `lectern.answer.v1`, assignment, student, question and submission, one per line; the
 * functions and firestore.rules derive the same.
 */
export async function eventIdOf(
  assignmentId: string,
  studentId: string,
  questionId: string,
  submissionId: string,
): Promise<string> {
  const identity = ["lectern.answer.v1", assignmentId, studentId, questionId, submissionId].join("\n");
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(identity));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
