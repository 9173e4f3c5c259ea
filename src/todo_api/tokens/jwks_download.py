"""The download of a JWK Set.

Which server is trusted, which redirect followed, and how much is read.
"""

import httpx

from todo_api.tokens.jwks import UnusableJwks

MAX_JWKS_BYTES = 256 * 1024
MAX_REDIRECTS = 3


class JwksDownload:
    """What is published at one address; the connection stays open for the next time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http: httpx.AsyncClient | None = None

    async def get(self) -> bytes:
        """The body of the answer. Redirects are followed to the same origin alone.

        Raises:
            UnusableJwks: there is none, it is too large, or certificates to trust cannot be had.
        """
        if self._http is None:
            self._http = _http_client()
        try:
            return await self._get(self._http)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnusableJwks(str(error) or type(error).__name__) from None

    async def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            await self._http.aclose()

    async def _get(self, http: httpx.AsyncClient) -> bytes:
        here = url = httpx.URL(self._url)
        for _ in range(MAX_REDIRECTS + 1):
            async with http.stream("GET", url) as response:
                if not response.is_redirect:
                    return await _body(response)
            url = url.join(response.headers.get("location", ""))
            if (url.scheme, url.host, url.port) != (here.scheme, here.host, here.port):
                raise UnusableJwks("redirected to another origin")
        raise UnusableJwks("too many redirects")


def _http_client() -> httpx.AsyncClient:
    """A client that trusts ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, or else certifi's certificates.

    Everything else of the environment is ignored (``trust_env``): proxies, because one that is
    named for other traffic would answer for the identity server over plain http, and ``.netrc``.
    """
    try:
        certificates = httpx.create_ssl_context()
    except OSError as error:
        raise UnusableJwks(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error}") from None
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    return httpx.AsyncClient(verify=certificates, trust_env=False, headers=headers)


async def _body(response: httpx.Response) -> bytes:
    """The body as it is on the wire, so that it cannot expand beyond what is counted."""
    if response.status_code != 200:
        raise UnusableJwks(f"status {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnusableJwks("compressed, against Accept-Encoding")
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_JWKS_BYTES:
            raise UnusableJwks("too large")
    return content
