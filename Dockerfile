FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
# timetzdata: schedules name time zones, and an empty image has none.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags timetzdata -ldflags "-s -w -X main.version=$VERSION" -o /out/daap ./cmd/daap

FROM busybox:1.37.0-musl AS busybox

FROM scratch AS bare
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/daap /daap
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/daap"]

# For docker-compose.yml alone: Compose checks health from inside the container
# and needs a program that can ask.
FROM bare AS local
COPY --from=busybox /bin/busybox /bin/wget

# Last, so that it is what a plain `docker build` makes: no shell, no libc, no
# package manager.
FROM bare AS daap
