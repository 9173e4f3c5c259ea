/** What the network is like, as told by the browser and by every answer of the service. */

import { Problem } from "todo-api-client";
import { SignedOut } from "./session.js";

const UNAVAILABLE = new Set([502, 503, 504]);
const NOTICES = {
  offline: "You are offline. Everything you do is kept here and sent as soon as you are back.",
  trouble: "The service cannot be reached at the moment. Trying again…",
};

/** Whether only waiting helps. Then the notice says so already. */
export function isOutage(error) {
  return error instanceof Problem ? UNAVAILABLE.has(error.status) : !(error instanceof SignedOut);
}

/** Dispatches "back" when it is worth trying again whatever had to wait. */
export class Connection extends EventTarget {
  #notice;
  #state = "";

  /** @param notice the element that tells people */
  constructor(notice) {
    super();
    this.#notice = notice;
    window.addEventListener("offline", () => this.#show("offline"));
    window.addEventListener("online", () => this.#show("fine"));
    this.#show(this.offline ? "offline" : "fine");
  }

  get offline() {
    return !navigator.onLine;
  }

  /** Stands in for `fetch`, and looks at how it went. */
  fetch = async (request, options) => {
    try {
      const response = await fetch(request, options);
      this.#show(UNAVAILABLE.has(response.status) ? "trouble" : "fine");
      return response;
    } catch (error) {
      this.#show(this.offline ? "offline" : "trouble");
      throw error;
    }
  };

  #show(state) {
    if (state === this.#state) return;
    const back = this.#state !== "" && state === "fine";
    this.#state = state;
    this.#notice.textContent = NOTICES[state] ?? "";
    if (back) this.dispatchEvent(new Event("back"));
  }
}
