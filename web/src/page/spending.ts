/** What the course spends on models, for its teachers. */

import type { CostAdvice, CostTip, Spend } from "../../client/lectern";
import { fill, h } from "./dom";
import { Bar, Tile } from "./figures";
import { dollars, number, percent, t, type Word } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import type { Session } from "./session";

const ADVICE: Record<CostTip["rule"], Word> = {
  "cheaper-model": "saveCheaperModel",
  batch: "saveBatch",
  "limit-abuse": "saveLimitAbuse",
  "prompt-cache": "savePromptCache",
  "less-reasoning": "saveLessReasoning",
  "shared-cache": "saveSharedCache",
  "larger-cache": "saveLargerCache",
  "lesson-cache": "saveLessonCache",
  archive: "saveArchive",
};

export function spendPanel(session: Session, courseId: string): HTMLElement {
  const body = h("div", { class: "spend-body" });

  const load = async (): Promise<void> => {
    fill(body, loadingNotice());
    try {
      show(await session.functions.getSpend({ courseId }));
    } catch (error) {
      fill(
        body,
        errorNotice(error, () => void load()),
      );
    }
  };

  const show = (spend: Spend): void => {
    const tiles = (["spent", "reserved", "ceiling"] as const).map((word) => {
      const tile = new Tile(word);
      tile.element.dataset.testid = `spend-${word}`;
      tile.show(
        dollars({ spent: spend.spentNanos, reserved: spend.reservedNanos, ceiling: spend.ceilingNanos }[word]),
      );
      return tile.element;
    });
    const share = spend.ceilingNanos > 0 ? (spend.spentNanos + spend.reservedNanos) / spend.ceilingNanos : 0;
    const bar = new Bar();
    bar.show(Math.min(share, 1), percent(share));
    const rows = spend.byTask.map(({ task, nanos, calls }) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, h("bdi", { class: "mono" }, task)),
        h("td", {}, number(calls)),
        h("td", {}, dollars(nanos)),
      ),
    );
    fill(
      body,
      h("dl", { class: "tiles" }, ...tiles),
      bar.element,
      rows.length === 0
        ? emptyNotice(t("noSpend"))
        : h(
            "table",
            { class: "figures" },
            h("caption", { class: "visually-hidden" }, t("spend")),
            h("tbody", {}, ...rows),
          ),
      h("button", { type: "button", onclick: () => void load() }, t("refresh")),
      advicePanel(session, courseId, spend.period),
    );
  };

  fill(body, h("button", { type: "button", onclick: () => void load() }, t("showSpend")));
  return h("section", { class: "panel", "data-testid": "spend" }, h("h2", {}, t("spend")), body);
}

/** What would have made *day* cheaper, once somebody asks. */
function advicePanel(session: Session, courseId: string, day: string): HTMLElement {
  const body = h("div", { class: "advice", "data-testid": "advice" });

  const load = async (): Promise<void> => {
    fill(body, loadingNotice());
    try {
      show(await session.functions.getCostAdvice({ courseId, day }));
    } catch (error) {
      fill(
        body,
        errorNotice(error, () => void load()),
      );
    }
  };

  const show = ({ tips, calls }: CostAdvice): void => {
    if (tips.length === 0) fill(body, emptyNotice(t("nothingToSave", { count: number(calls) })));
    else fill(body, h("h3", {}, t("saveMoney")), h("ul", { class: "tips" }, ...tips.map(tipItem)));
  };

  fill(body, h("button", { type: "button", onclick: () => void load() }, t("saveMoney")));
  return body;
}

function tipItem({ rule, actor, subject, savedNanos }: CostTip): HTMLElement {
  const saved = savedNanos > 0 ? [h("strong", {}, t("saveUpTo", { amount: dollars(savedNanos) })), " "] : [];
  return h(
    "li",
    {},
    h("p", {}, ...saved, t(ADVICE[rule])),
    h(
      "p",
      { class: "hint" },
      h("bdi", { class: "mono" }, subject),
      " · ",
      t(actor === "teacher" ? "saveByTeacher" : "saveByOperator"),
    ),
  );
}
