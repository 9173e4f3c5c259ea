/** What a method rejects with: the service's own error responses, and failures to get a response at all. */

import type { components } from "./schema.js";

/** What is wrong with one field of a body, or with one parameter. */
export type FieldError = components["schemas"]["FieldError"];

/** The service's `code`; "unknown" where a gateway answered in its place. A newer service may have others. */
export type ProblemCode = components["schemas"]["ProblemDetails"]["code"] | "unknown";

/** An error response (RFC 9457). Show `detail` to people; `status` and `code` are for programs. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  readonly code: ProblemCode;
  /** One sentence for people. */
  readonly detail: string;
  /** The id of the request in the service's log; empty when unknown. */
  readonly requestId: string;
  /** Each offending field; empty unless the status is 400. */
  readonly errors: readonly FieldError[];
  /** Seconds after which it makes sense to try again, where the response says so. */
  readonly retryAfter: number | null;

  constructor(response: Response, body: unknown) {
    const given: { code?: unknown; detail?: unknown; errors?: unknown } =
      typeof body === "object" && body !== null ? body : {};
    const detail = typeof given.detail === "string" && given.detail !== "" ? given.detail : sentence(response);
    super(detail);
    this.status = response.status;
    this.code = typeof given.code === "string" ? (given.code as ProblemCode) : "unknown";
    this.detail = detail;
    this.requestId = response.headers.get("X-Request-ID") ?? "";
    this.errors = Array.isArray(given.errors) ? given.errors.filter(isFieldError) : [];
    this.retryAfter = retryAfterSeconds(response);
  }
}

/**
 * Why there is no response.
 *
 * - "offline": the browser says that it has no network.
 * - "timeout": nothing came within the time limit.
 * - "unreachable": the connection failed.
 * - "blocked": the service answers, but the browser does not let the page read it (CORS).
 * - "redirect": the address answers with a redirect, which is never followed.
 */
export type NetworkErrorReason = "offline" | "timeout" | "unreachable" | "blocked" | "redirect";

/**
 * No response came. `message` says what the cause may be, in words for developers; `cause` is what `fetch`
 * rejected with.
 */
export class NetworkError extends Error {
  override readonly name = "NetworkError";
  readonly reason: NetworkErrorReason;

  constructor(reason: NetworkErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What to say where the response says nothing: it is a gateway's, or a page instead of JSON. */
function sentence({ ok, status }: Response): string {
  return ok ? "The response is not one of the Todo API." : `The service answered with status ${status}.`;
}

/** What `Retry-After` asks for, in seconds from now; it may be a number or a date (RFC 9110 §10.2.3). */
function retryAfterSeconds(response: Response): number | null {
  const value = response.headers.get("Retry-After");
  if (value === null) return null;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

function isFieldError(value: unknown): value is FieldError {
  return typeof value === "object" && value !== null && "field" in value && "message" in value;
}
