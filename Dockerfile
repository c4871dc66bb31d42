# The worker's image. docker build . | buildah build . | podman build .
#
# The last stage is not a Debian with things taken out of it but an empty root with things put in:
# the worker, the libraries that it links, OpenSSL's legacy provider, CA certificates, and the few files
# that libc and OpenSSL read. So there is no shell, no package manager and no compiler to forget, and nothing that wants to
# write: it runs with a read-only root. What was put in is described as Debian describes it, so that
# scanners know the versions (/var/lib/dpkg/status.d) and licences stay with their files.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates cmake gcc libc6-dev libcurl4-openssl-dev libhiredis-dev libjemalloc-dev \
        libmicrohttpd-dev libprotobuf-c-dev librdkafka-dev libssl-dev libuv1-dev libxml2-dev libyaml-dev ninja-build \
        pkg-config protobuf-c-compiler protobuf-compiler \
        $(grep -q 'VERSION_ID="12"' /etc/os-release || echo openssl-provider-legacy) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt ./
COPY proto proto
COPY include include
COPY worker worker
RUN cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DEW_TESTS=OFF \
    && ninja -C build epki-worker
COPY deploy/image deploy/image
RUN deploy/image/rootfs build/epki-worker /rootfs

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="epki-worker" \
      org.opencontainers.image.description="Certificates from Kafka events, by GlobalSign EPKI" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="debian:trixie-slim"
COPY --from=build /rootfs/ /
# librdkafka and the connection to Redis trust what OpenSSL trusts by default: a file that Debian leaves
# unset, and a directory of one file for each CA, which is not here.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
STOPSIGNAL SIGTERM
EXPOSE 9090
ENTRYPOINT ["/usr/bin/epki-worker"]
CMD ["run", "--config", "/etc/epki/worker.yaml"]
