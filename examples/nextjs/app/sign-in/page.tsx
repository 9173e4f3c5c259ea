"use client";

import { useRouter } from "next/navigation";
import { useState } from "react";
import { authClient } from "../../lib/auth-client";

export default function SignIn() {
  const router = useRouter();
  const [isNew, setIsNew] = useState(true);
  const [failure, setFailure] = useState("");

  async function submit(form: FormData) {
    const { name, email, password } = Object.fromEntries(form) as Record<string, string>;
    const { error } = await (isNew
      ? authClient.signUp.email({ name, email, password })
      : authClient.signIn.email({ email, password }));
    if (error) setFailure(error.message ?? "That did not work. Is the server running?");
    else router.push("/");
  }
  return (
    <>
      <h1>{isNew ? "Create an account" : "Sign in"}</h1>
      <form onSubmit={(event) => (event.preventDefault(), submit(new FormData(event.currentTarget)))}>
        {isNew && <input name="name" aria-label="Name" placeholder="Name" autoComplete="name" required />}
        <input name="email" type="email" aria-label="E-mail" placeholder="E-mail" autoComplete="email" required />
        <input
          name="password"
          type="password"
          aria-label="Password"
          placeholder="Password"
          autoComplete={isNew ? "new-password" : "current-password"}
          minLength={8}
          required
        />
        <button>{isNew ? "Create account" : "Sign in"}</button>
        {failure && <p role="alert">{failure}</p>}
      </form>
      <button onClick={() => setIsNew(!isNew)}>{isNew ? "I have an account" : "I am new here"}</button>
    </>
  );
}
