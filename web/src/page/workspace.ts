/** What a signed-in account sees: the list of assignments and the chosen one. */

import type { User } from "firebase/auth";

import { LecternError, type AssignmentForm, type AssignmentSummary } from "../../client/lectern";
import { fill, h } from "./dom";
import { counted, t } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import type { Session } from "./session";
import { studentView } from "./student";
import { importPanel, teacherView } from "./teacher";
import type { View } from "./view";

export function workspace(session: Session, user: User, isTeacher: boolean): View {
  const list = h("nav", { class: "assignments", "aria-label": t("assignments") });
  const stage = h("div", { class: "stage" });
  let shown: View | null = null;
  let turn = 0;

  const loadList = async (): Promise<void> => {
    if (list.childElementCount === 0) fill(list, loadingNotice());
    try {
      const { assignments } = await remembered(user, "assignments", () =>
        session.functions.listAssignments({ courseId: session.config.demoCourseId }),
      );
      showList(assignments);
    } catch (error) {
      fill(
        list,
        errorNotice(error, () => void loadList()),
      );
    }
  };

  const showList = (assignments: readonly AssignmentSummary[]): void => {
    if (assignments.length === 0) {
      fill(list, emptyNotice(t(isTeacher ? "noAssignmentsTeacher" : "noAssignments")));
      return;
    }
    const links = assignments.map(({ assignmentId, title, questionCount }) =>
      h(
        "li",
        {},
        h(
          "a",
          { href: `#/a/${assignmentId}` },
          h("span", { class: "link-title" }, h("bdi", {}, title)),
          h("span", { class: "link-note" }, counted("questions", questionCount)),
        ),
      ),
    );
    fill(list, h("h2", {}, t("assignments")), h("ul", {}, ...links));
    markCurrent();
    const first = assignments[0];
    if (assignmentInAddress() === null && first) location.replace(`#/a/${first.assignmentId}`);
  };

  const markCurrent = (): void => {
    const current = assignmentInAddress();
    for (const link of list.querySelectorAll("a")) {
      if (link.hash === `#/a/${current}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  };

  const open = async ({ focus = false } = {}): Promise<void> => {
    turn += 1;
    const mine = turn;
    shown?.close();
    shown = null;
    markCurrent();
    const assignmentId = assignmentInAddress();
    if (assignmentId === null) {
      fill(stage, emptyNotice(t("chooseAssignment")));
      return;
    }
    fill(stage, loadingNotice());
    try {
      const assignment = await remembered<AssignmentForm>(user, `assignment/${assignmentId}`, () =>
        session.functions.getAssignment({ assignmentId }),
      );
      if (mine !== turn) return;
      shown = isTeacher ? teacherView(session, assignment) : studentView(session, user.uid, assignment);
      fill(stage, shown.element);
      if (focus) shown.element.querySelector<HTMLElement>("h1")?.focus();
    } catch (error) {
      if (mine !== turn) return;
      fill(
        stage,
        errorNotice(error, () => void open()),
      );
    }
  };

  const moved = (): void => void open({ focus: true });
  window.addEventListener("hashchange", moved);
  void loadList();
  void open();

  const side = h("div", { class: "side-nav" }, list);
  if (isTeacher) side.append(importPanel(session, () => void loadList()));
  return {
    element: h("div", { class: `workspace ${isTeacher ? "for-teacher" : "for-student"}` }, side, stage),
    close: () => {
      turn += 1;
      window.removeEventListener("hashchange", moved);
      shown?.close();
    },
  };
}

function assignmentInAddress(): string | null {
  return /^#\/a\/([A-Za-z0-9_-]{1,64})$/.exec(location.hash)?.[1] ?? null;
}

/**
 * What *load* yields; when nothing answers, what it yielded before in this tab, so that a page that
 * is reloaded without a connection still has its questions.
 */
async function remembered<T>(user: User, what: string, load: () => Promise<T>): Promise<T> {
  const key = `lectern/${user.uid}/${what}`;
  try {
    const loaded = await load();
    try {
      sessionStorage.setItem(key, JSON.stringify(loaded));
    } catch {
      sessionStorage.removeItem(key);
    }
    return loaded;
  } catch (error) {
    const before = sessionStorage.getItem(key);
    const answered = error instanceof LecternError && error.status < 500;
    if (before === null || answered) throw error;
    return JSON.parse(before) as T;
  }
}
