"use client";

/** Shown when the tasks cannot be rendered; the server's log says why. */
export default function Failed({ reset }: { reset: () => void }) {
  return (
    <>
      <p role="alert">The tasks cannot be reached at the moment.</p>
      <button onClick={reset}>Try again</button>
    </>
  );
}
