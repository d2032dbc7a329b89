/** What the course spends on models, for its teachers. */

import type { Spend } from "../../client/lectern";
import { fill, h } from "./dom";
import { Bar, Tile } from "./figures";
import { dollars, number, percent, t } from "./i18n";
import { emptyNotice, errorNotice, loadingNotice } from "./notices";
import type { Session } from "./session";

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
    );
  };

  fill(body, h("button", { type: "button", onclick: () => void load() }, t("showSpend")));
  return h("section", { class: "panel", "data-testid": "spend" }, h("h2", {}, t("spend")), body);
}
