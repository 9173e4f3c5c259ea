// For a Better Auth that tests sign up with: loaded before it, and its scrypt takes one step where it takes 16,384,
// which is nearly all that a sign-up costs. How passwords are stored is not what these tests are about.

import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";

const { scrypt } = crypto;
crypto.scrypt = (password, salt, length, options, done) => scrypt(password, salt, length, { ...options, N: 2 }, done);
syncBuiltinESMExports();
