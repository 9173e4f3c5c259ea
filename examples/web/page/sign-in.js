/** The first thing a visitor sees: create an account, or sign in to one. */

import { signIn, signUp } from "./session.js";
import { isKnownBrowser } from "./storage.js";

const MODES = {
  up: { title: "Create your account", button: "Create account", ask: "Have one already?", other: "Sign in", send: signUp },
  in: { title: "Welcome back", button: "Sign in", ask: "New here?", other: "Create account", send: signIn },
};

/**
 * Show the form in `main`.
 *
 * @param done called with the user
 * @param notice why they are asked, when it is not obvious
 */
export function showSignIn(main, done, notice = "") {
  main.replaceChildren(document.querySelector("#sign-in-view").content.cloneNode(true));
  const form = main.querySelector("form");
  const error = form.querySelector(".error");
  const reason = main.querySelector(".notice");
  reason.textContent = notice;
  reason.hidden = notice === "";

  let mode = isKnownBrowser() ? "in" : "up";
  function draw() {
    const { title, button, ask, other } = MODES[mode];
    main.querySelector("h1").textContent = title;
    form.querySelector("[type=submit]").textContent = button;
    main.querySelector(".switch span").textContent = ask;
    main.querySelector(".switch button").textContent = other;
    form.querySelector(".name").hidden = mode === "in";
    form.elements.name.disabled = mode === "in";
    form.elements.password.autocomplete = mode === "in" ? "current-password" : "new-password";
    form.querySelector(".hint").hidden = mode === "in";
    error.hidden = true;
    (mode === "in" ? form.elements.email : form.elements.name).focus();
  }
  main.querySelector(".switch button").addEventListener("click", () => {
    mode = mode === "in" ? "up" : "in";
    draw();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    error.hidden = true;
    try {
      const user = await MODES[mode].send(Object.fromEntries(new FormData(form)));
      done(user);
    } catch (problem) {
      error.textContent = problem instanceof TypeError ? "There is no connection. Try again in a moment." : problem.message;
      error.hidden = false;
      button.disabled = false;
    }
  });
  draw();
}
