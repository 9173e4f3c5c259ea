# Better Auth and the page of the demo, for deploy/compose.yaml.
FROM node:20-slim
WORKDIR /project/examples/web
COPY examples/web/package.json examples/web/package-lock.json examples/web/.npmrc ./
RUN npm ci --omit=dev
COPY examples/web ./
COPY clients/typescript/dist /project/clients/typescript/dist
ENV DEMO_HOST=0.0.0.0 DEMO_PORT=3000
USER 1000:1000
EXPOSE 3000
CMD ["node", "server.mjs"]
