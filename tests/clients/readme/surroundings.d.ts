// What the README's snippets find in a Next.js project.

declare module "next/headers" {
  export function headers(): Promise<Headers>;
}

declare module "next/server" {
  export function connection(): Promise<void>;
}

declare const process: { env: Record<string, string | undefined> };
