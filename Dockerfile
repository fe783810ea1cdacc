# Builds the package and runs it as an ordinary user; the configuration and the data folder are mounted.
FROM node:26-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY . .
RUN npm run --silent build && npm prune --omit=dev --no-audit --no-fund

FROM node:26-slim
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY --from=build /build/policies ./policies
COPY --from=build /build/examples ./examples
RUN mkdir /app/data && chown node:node /app/data
# Without it glibc keeps much of what the threads gave back: docs/limits.md, "Memory of the process".
ENV MALLOC_TRIM_THRESHOLD_=1048576
USER node
EXPOSE 8080 8081 9080
ENTRYPOINT ["node", "dist/src/cli/main.js"]
CMD ["quickstart"]
