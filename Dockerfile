# Builds cmd/portalgate and runs it as nobody. Mount a Caddyfile at /etc/portalgate/Caddyfile, and give secrets as files
# ({file./run/secrets/…}) or environment ({env.…}); none is ever part of the image.
#
#   docker build --build-arg VERSION=v0.1.0 -t portalgate .
#   docker run -v ./Caddyfile:/etc/portalgate/Caddyfile:ro -v data:/data -p 80:80 -p 443:443 portalgate

FROM golang:1.26.8-alpine AS build
WORKDIR /src
# Modules first: they change less often than the code, and this layer is then kept.
COPY go.mod go.sum ./
RUN go mod download
COPY caddymodule ./caddymodule
COPY cmd ./cmd
COPY internal ./internal
COPY migrations ./migrations
COPY web ./web
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/caddyserver/caddy/v2.CustomVersion=${VERSION}" -o /out/portalgate ./cmd/portalgate

FROM alpine:3.22
# Roots to verify the database's, Redis's and the mail server's certificates with, and the names of time zones.
RUN apk add --no-cache ca-certificates tzdata \
 && mkdir -p /data /config /etc/portalgate /run/portalgate \
 && chown 65534:65534 /data /config /run/portalgate
COPY --from=build /out/portalgate /usr/bin/portalgate
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
VOLUME /data /config
EXPOSE 80 443 443/udp
USER 65534:65534
# The process answers, whether or not its neighbours do: a container that is killed because PostgreSQL is away for a
# minute would drop the sessions it can still serve. Asked is the listener of `observe 127.0.0.1:9180`, as our Caddyfiles
# have it; without one, Caddy's admin endpoint where it is by default. Readiness is /ready there.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD wget -q -O /dev/null http://127.0.0.1:9180/health || wget -q -O /dev/null http://127.0.0.1:2019/portalgate/health || exit 1
ENTRYPOINT ["/usr/bin/portalgate"]
CMD ["run", "--config", "/etc/portalgate/Caddyfile"]
