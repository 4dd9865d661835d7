# Shortcuts for people who have `just`. Nothing needs it: each recipe is what you would type.

# What there is
default:
    @just --list

# The quickstart on a real control plane, which stays up until Ctrl-C (--once: ends)
demo *ARGS:
    cargo demo {{ ARGS }}

# Everything: unit tests, models, simulation, end-to-end on a real control plane
test *ARGS:
    cargo test {{ ARGS }}

# Random schedules against a model API server (--seconds, --seed, --jobs; --help)
simulate *ARGS:
    cargo simulate {{ ARGS }}

# What CI checks besides the tests
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
    cargo deny check licenses bans sources

# Writes crds/*.yaml anew from the Rust types
crds:
    cargo run --package hostport -- crds --dir crds

# Writes the chart's generated files and the plain manifests anew
chart *ARGS:
    cargo chart {{ ARGS }}

# A control plane to play with: `just devcluster up`, in another terminal `just devcluster down` (up --nodes 2: with nodes)
devcluster *ARGS="up":
    cargo devcluster {{ ARGS }}

# The image of hostport as an OCI archive, without a container engine (--profile quick: in less time)
image *ARGS:
    cargo image {{ ARGS }}

# Binds per second and pod admission, next to operators that do nothing
bench:
    cargo bench --package allocator
    cargo bench --package e2e --bench bind
    cargo bench --package e2e --bench admission

# The same of a large cluster: 60,000 bound claims, 20,000 pods
scale *ARGS:
    cargo bench --package e2e --bench scale -- {{ ARGS }}

# Thousands of pods with ports on fake nodes, beside the same pods without us
fleet *ARGS:
    cargo bench --package e2e --bench fleet -- {{ ARGS }}

# The fault tests again and again, each time with another seed, for HOSTPORT_SOAK_MINUTES (30)
soak *ARGS:
    cargo soak {{ ARGS }}

# All that CI does
ci:
    .ci/run
