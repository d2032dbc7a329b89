/** Signing in: a form, and in local runs one button for each demo account. */

import { h, newId, say } from "./dom";
import { t } from "./i18n";
import { enter, type Session } from "./session";
import type { View } from "./view";

export function entrance(session: Session): View {
  const emailId = newId("email");
  const passwordId = newId("password");
  const email = h("input", { id: emailId, type: "email", autocomplete: "username", required: true, dir: "ltr" });
  const password = h("input", {
    id: passwordId,
    type: "password",
    autocomplete: "current-password",
    required: true,
    dir: "ltr",
  });
  const problem = h("p", { class: "problem", role: "alert" });
  const button = h("button", { type: "submit", class: "primary" }, t("signIn"));

  const signIn = async (address: string, secret: string): Promise<void> => {
    say(problem, "");
    for (const each of card.querySelectorAll("button")) each.disabled = true;
    try {
      await enter(session, address, secret);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      say(problem, t(code === "auth/network-request-failed" ? "signInUnreachable" : "signInFailed"));
    } finally {
      for (const each of card.querySelectorAll("button")) each.disabled = false;
    }
  };

  const form = h(
    "form",
    {
      onsubmit: (event) => {
        event.preventDefault();
        void signIn(email.value.trim(), password.value);
      },
    },
    h("div", { class: "field" }, h("label", { for: emailId }, t("email")), email),
    h("div", { class: "field" }, h("label", { for: passwordId }, t("password")), password),
    button,
    problem,
  );
  const accounts = session.config.accounts ?? [];
  const demo = h(
    "div",
    { class: "demo" },
    h("h2", {}, t("demoAccounts")),
    h(
      "ul",
      {},
      ...accounts.map((account) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              class: "demo-account",
              "data-role": account.role,
              onclick: () => void signIn(account.email, account.password),
            },
            h("span", { class: "demo-name" }, h("bdi", {}, t("continueAs", { name: account.name }))),
            h("span", { class: "demo-role" }, t(account.role === "teacher" ? "teacher" : "student")),
          ),
        ),
      ),
    ),
  );
  const card = h("div", { class: "entrance-card" }, h("h1", {}, t("signIn")), form, accounts.length > 0 && demo);
  return { element: h("div", { class: "entrance" }, card), close: () => undefined };
}
