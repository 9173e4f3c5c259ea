/** Better Auth in the browser: `useSession`, `signIn`, `signUp`, `signOut` and `token`. */

import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";

export const authClient = createAuthClient({ plugins: [jwtClient()] });
