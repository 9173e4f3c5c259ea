/** How one request gets its response: with a token, within a time limit, and again where that is safe. */

import { explain } from "./diagnosis.js";
import { NetworkError, Problem } from "./errors.js";
import type { TokenSource } from "./token.js";

const FIRST_PAUSE_MILLISECONDS = 250;
const MAX_PAUSE_MILLISECONDS = 8_000;
const MAX_RETRY_AFTER_SECONDS = 30;
/** With pauses of 250 and 500 ms, a connection that cannot be had is an error in less than a second. */
const MAX_UNREACHABLE_RETRIES = 2;

/** The service, or a gateway in front of it, cannot serve now. The request may have been carried out. */
const UNAVAILABLE: ReadonlySet<number> = new Set([502, 503, 504]);

export interface RequestOptions {
  /** Ends the request, its pauses and its retries; the method then rejects with the signal's `reason`. */
  signal?: AbortSignal | undefined;
}

/** A request that is about to be sent again. */
export interface Retry {
  method: string;
  url: string;
  /** 1 for the first retry. */
  attempt: number;
  delayMilliseconds: number;
  /** Why: a `NetworkError`, a `Problem` with status 502 to 504, or what the token source rejected with. */
  error: Error;
}

export interface Connection {
  token: TokenSource;
  fetch: typeof fetch;
  timeoutSeconds: number;
  onRetry: (retry: Retry) => void;
}

export interface Outgoing {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | null;
  /** 0 for what must not be repeated. */
  retries: number;
}

export interface Answer {
  response: Response;
  /** The JSON of the body; undefined where it is something else. */
  body: unknown;
  /** Whether an earlier attempt may have been carried out although its response was lost. */
  uncertain: boolean;
}

type Attempt = Omit<Answer, "uncertain">;

/**
 * Send a request until there is a response.
 *
 * Silence and responses 502 to 504 are followed by up to `retries` more attempts, with growing pauses and
 * no less than `Retry-After`; failed connections by two within a second, because a wrong address, a
 * stopped service and CORS are not cured by waiting. A 401 is followed by one more with another token, also
 * where nothing is retried: the rejected request was not carried out.
 */
export async function send(connection: Connection, outgoing: Outgoing, signal?: AbortSignal): Promise<Answer> {
  let uncertain = false;
  for (let attempt = 1, unreachable = 0; ; attempt++) {
    let answer: Attempt | null = null;
    let error: Error;
    try {
      answer = await attemptOnce(connection, outgoing, signal);
      if (!UNAVAILABLE.has(answer.response.status)) return { ...answer, uncertain };
      error = new Problem(answer.response, answer.body);
    } catch (failure) {
      signal?.throwIfAborted();
      if (!isNetworkFailure(failure)) throw failure;
      error = failure;
    }
    uncertain ||= !(error instanceof TypeError); // that one is the token source's: nothing was sent
    unreachable = isUnreachable(error) ? unreachable + 1 : 0;
    if (attempt > outgoing.retries || unreachable > MAX_UNREACHABLE_RETRIES || isFinal(error)) {
      if (answer !== null) return { ...answer, uncertain };
      throw await explain(error, outgoing.url);
    }
    const retryAfter = error instanceof Problem ? (error.retryAfter ?? 0) : 0;
    const delayMilliseconds = retryAfter * 1000 + backoff(unreachable || attempt);
    connection.onRetry({ method: outgoing.method, url: outgoing.url, attempt, delayMilliseconds, error });
    await pause(delayMilliseconds, signal);
  }
}

async function attemptOnce(connection: Connection, outgoing: Outgoing, signal?: AbortSignal): Promise<Attempt> {
  const token = await unlessAborted(connection.token(), signal);
  const answer = await fetchOnce(connection, outgoing, token, signal);
  if (answer.response.status !== 401) return answer;
  const fresh = await unlessAborted(connection.token(token), signal);
  return fresh === token ? answer : fetchOnce(connection, outgoing, fresh, signal);
}

/**
 * One response, read to its end, so that one which breaks off counts as none.
 *
 * A redirect is an error: following it could take the token and the task to another origin.
 */
async function fetchOnce(
  { fetch, timeoutSeconds }: Connection, // a browser's fetch must not be called as a method
  { method, url, headers, body }: Outgoing,
  token: string,
  signal?: AbortSignal,
): Promise<Attempt> {
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers, Authorization: `Bearer ${token}` },
      body,
      redirect: "manual",
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    if (isRedirect(response)) throw new NetworkError("redirect", `${url} answers with a redirect.`);
    return { response, body: parsed(await response.text()) };
  } catch (cause) {
    if (cause instanceof NetworkError || signal?.aborted) throw cause;
    if (timeout.aborted) throw new NetworkError("timeout", `Nothing came within ${timeoutSeconds} s.`, { cause });
    if (globalThis.navigator?.onLine === false) throw new NetworkError("offline", "There is no network.", { cause });
    throw new NetworkError("unreachable", "The connection failed.", { cause });
  }
}

/** Browsers hide what a redirect says; Node does not. */
function isRedirect({ type, status }: Response): boolean {
  return type === "opaqueredirect" || (status >= 300 && status < 400 && status !== 304);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Ours, or a `TypeError` of the `fetch` that the token source uses. */
function isNetworkFailure(error: unknown): error is Error {
  return error instanceof NetworkError || error instanceof TypeError;
}

function isUnreachable(error: Error): boolean {
  return error instanceof TypeError || (error instanceof NetworkError && error.reason === "unreachable");
}

function isFinal(error: Error): boolean {
  if (error instanceof Problem) return (error.retryAfter ?? 0) > MAX_RETRY_AFTER_SECONDS;
  return error instanceof NetworkError && error.reason === "redirect";
}

/** Twice as long after each failure, and each client differently, so that they do not return together. */
function backoff(attempt: number): number {
  const longest = Math.min(FIRST_PAUSE_MILLISECONDS * 2 ** (attempt - 1), MAX_PAUSE_MILLISECONDS);
  return longest * (0.5 + Math.random() / 2);
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout>;
  const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, milliseconds)));
  return unlessAborted(over, signal).finally(() => clearTimeout(timer));
}

/** What the promise settles to, or the signal's `reason` when it aborts first. */
async function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
  });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", abort));
}
