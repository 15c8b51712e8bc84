# The images: docker build --target worker -t eventsink-worker . and --target operator -t eventsink-operator .
# Each holds one program, its libraries and the public certificate authorities, and runs as nobody in particular on a
# file system that may be read-only.
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --workspace --bin eventsink-worker --bin eventsink-operator \
    && image/rootfs target/release/eventsink-worker /rootfs/worker \
    && image/rootfs target/release/eventsink-operator /rootfs/operator

FROM scratch AS worker
COPY --from=build /rootfs/worker/ /
USER 65532:65532
ENTRYPOINT ["/eventsink-worker"]

FROM scratch AS operator
COPY --from=build /rootfs/operator/ /
USER 65532:65532
ENTRYPOINT ["/eventsink-operator"]
