/** The functions, as this page calls them: plain REST JSON with the signed-in account's token. */

import type { Auth } from "firebase/auth";

import type { Assignment, AssignmentList, GradebookPage, ImportReply, MyResults, RebuildReply } from "../contract";

const DEADLINE_MS = 30_000;

/** What a function answered instead of a reply, or that it did not answer. */
export class Problem extends Error {
  constructor(
    /** The canonical code in kebab-case, or `unreachable`. */
    readonly code: string,
    message: string,
    readonly details: { line?: number; column?: number; message?: string }[] = [],
  ) {
    super(message);
  }
}

export interface Functions {
  listAssignments(courseId: string): Promise<AssignmentList>;
  assignment(assignmentId: string): Promise<Assignment>;
  myResults(assignmentId: string): Promise<MyResults>;
  gradebook(assignmentId: string, pageSize: number, cursor: string | null): Promise<GradebookPage>;
  importAssignment(courseId: string, title: string, format: string, source: string): Promise<ImportReply>;
  verify(assignmentId: string): Promise<RebuildReply>;
}

/** Functions under *base*, which ends before their names. */
export function functionsAt(base: string, auth: Auth): Functions {
  async function call<T>(name: string, body: unknown): Promise<T> {
    let response: Response;
    try {
      response = await fetch(`${base}/${name}`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${await auth.currentUser?.getIdToken()}`,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(DEADLINE_MS),
      });
    } catch {
      throw new Problem("unreachable", "");
    }
    const reply = await response.json().catch(() => null);
    if (response.ok && reply !== null) return reply as T;
    const code = String(reply?.type ?? "").replace("urn:lectern:problem:", "") || `http-${response.status}`;
    throw new Problem(code, reply?.detail ?? reply?.title ?? "", reply?.details ?? []);
  }
  return {
    listAssignments: (courseId) => call("list_assignments", { courseId }),
    assignment: (assignmentId) => call("get_assignment", { assignmentId }),
    myResults: (assignmentId) => call("my_results", { assignmentId }),
    gradebook: (assignmentId, pageSize, cursor) =>
      call("get_gradebook", { assignmentId, pageSize, ...(cursor === null ? {} : { cursor }) }),
    importAssignment: (courseId, title, format, source) =>
      call("import_assignment", { courseId, title, format, source }),
    verify: (assignmentId) => call("rebuild_assignment", { assignmentId, mode: "compare" }),
  };
}
