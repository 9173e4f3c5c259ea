// The project's own Better Auth server, as its JWT plugin types it.

interface Request {
  headers: Headers;
}

export declare const auth: {
  api: {
    getSession(request: Request): Promise<{ user: { id: string; name: string } } | null>;
    getToken(request: Request): Promise<{ token: string }>;
  };
};
