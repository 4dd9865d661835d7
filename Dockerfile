# The image of hostport, for those who have a container engine; `cargo image` makes one without.
#   docker build --tag hostport .
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    rustup show active-toolchain \
    && cargo install --locked --version 0.7.7 cargo-auditable \
    && cargo auditable build --locked --release --package hostport \
    && cp target/release/hostport /hostport

FROM scratch
COPY --from=build /hostport /hostport
USER 65532:65532
ENTRYPOINT ["/hostport"]
