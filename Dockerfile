# The service without the embedded PostgreSQL: DATABASE_URL is required.
# docs/deploy.md says how to run it; `make image-check` carries out every step without a container engine.

FROM python:3.11-slim AS build
# otel adds OpenTelemetry traces: --build-arg REQUIREMENTS=otel
ARG REQUIREMENTS=production
WORKDIR /build
COPY requirements requirements
# --without-pip: what serves requests has no use for an installer.
RUN python -m venv --without-pip /opt/todo-api \
    && pip --python /opt/todo-api/bin/python install --no-cache-dir --no-deps --require-hashes -r "requirements/$REQUIREMENTS.txt"
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip --python /opt/todo-api/bin/python install --no-cache-dir --no-deps --no-build-isolation . \
    && pip --python /opt/todo-api/bin/python uninstall --yes flit-core

FROM python:3.11-slim
COPY --from=build /opt/todo-api /opt/todo-api
ENV PATH=/opt/todo-api/bin:$PATH HOST=0.0.0.0 PORT=8000 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client knows no proxies, and to connect to 0.0.0.0 or :: is to connect to this container.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", "import os, http.client as web; peer = web.HTTPConnection(os.environ['HOST'], int(os.environ['PORT']), timeout=3); peer.request('GET', '/health', headers={'Host': 'localhost'}); raise SystemExit(peer.getresponse().status != 200)"]
CMD ["todo-api", "serve"]
