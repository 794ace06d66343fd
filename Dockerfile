# The server of `npm start` in a container (docs/guide/deploy.md, "In a container"). The logic is in docker/entrypoint.sh.
# Node is that of .nvmrc.
FROM node:24.21.0-slim
WORKDIR /app
COPY . .
RUN docker/entrypoint.sh build && mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 CMD ["/app/docker/entrypoint.sh", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/docker/entrypoint.sh"]
