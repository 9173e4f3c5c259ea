"use client";

import { useRouter } from "next/navigation";
import { authClient } from "../lib/auth-client";

export function Account() {
  const router = useRouter();
  const { data: session } = authClient.useSession();

  async function signOut() {
    await authClient.signOut();
    router.push("/sign-in");
  }
  return (
    <header>
      <span>{session?.user.name}</span>
      <button onClick={signOut}>Sign out</button>
    </header>
  );
}
